import type { OperatorFunction } from 'rxjs';
import type { Objective } from '../losses/objective.ts';
import type { Net } from '../models/net.ts';
import { type Predict, trainStep } from '../optim/trainStep.ts';
import type { Batch, Measured } from '../streams/frames.ts';
import { mapTensors } from '../streams/mapTensors.ts';

export type { Predict } from '../optim/trainStep.ts';

/**
 * One optimizer update of one network: forward pass, loss, gradient, clipping, update; what `predict` made is added to the frame as a constant.
 * A loss or gradient norm that is not finite leaves weights, slots, running statistics and count as they were: the choice is made inside the graph,
 * so no value has to be waited for. A network made with `accumulate: k` moves at every k-th step, by the mean gradient of k steps.
 *
 * Reads  what `predict` and `objective` read
 * Adds   what `predict` returns (values before the update, no gradient)
 *        metrics  `<net>.loss`, `<net>.<term>`, `<net>.gradNorm`, `<net>.finite` (1, or 0 for a dropped update)
 * Timing one frame out for each frame in, synchronously; ends and fails with its source.
 * @param net trained network; it must have an optimizer
 * @param predict runs it; called once, inside the gradient tape
 * @param objective scores the frame with the predictions
 * @param options.clip bound on the global gradient norm; none by default
 * @throws TypeError when the network has no optimizer, RangeError when `clip` is not positive
 */
export function backward<F extends Batch, I extends readonly unknown[], O, P extends object>(
  net: Net<I, O>, predict: Predict<I, O, F, P>, objective: Objective<F & P>, { clip }: { clip?: number } = {},
): OperatorFunction<F, F & P & Measured> {
  if (!net.optimizer) throw new TypeError(`backward: expected ${net.name} to have an optimizer but it has none`);
  if (clip !== undefined && !(clip > 0)) throw new RangeError(`backward: expected clip to be positive but received ${clip}`);
  return mapTensors(`backward(${net.name})`, (frame: F) => trainStep(net, frame, predict, objective, { clip }));
}
