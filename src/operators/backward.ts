import type { OperatorFunction } from 'rxjs';
import * as tf from '../tf.ts';
import type { Objective } from '../losses/objective.ts';
import { type Net, flatten, named, paramsOf, unflatten } from '../models/net.ts';
import { gradientsOf } from '../models/tape.ts';
import type { Batch, Measured } from '../streams/frames.ts';
import { mapTensors } from '../streams/mapTensors.ts';

/** What a network says about a frame, with the parameters being trained. */
export type Predict<I extends readonly unknown[], O, F, P> = (net: (...inputs: I) => O, frame: F) => P;

/**
 * One optimizer update of one network: forward pass, loss, gradient, clipping, update; what `predict` made is added to the frame as a constant.
 * A loss or gradient norm that is not finite leaves weights, slots and count as they were: the choice is made inside the graph, so no value
 * has to be waited for.
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
  const { optimizer } = net;
  if (!optimizer) throw new TypeError(`backward: expected ${net.name} to have an optimizer but it has none`);
  if (clip !== undefined && !(clip > 0)) throw new RangeError(`backward: expected clip to be positive but received ${clip}`);
  return mapTensors(`backward(${net.name})`, (frame: F) => {
    const frozen = net.frozen ? named(net.frozenLayout, unflatten(net.frozen, net.frozenLayout)) : {};
    const leaves = unflatten(net.weights, net.layout);
    const params = { ...frozen, ...named(net.layout, leaves) };
    const { loss, grads, extra: { predicted, terms } } = gradientsOf(leaves, () => {
      const predicted = predict((...inputs) => net.network.apply(params, ...inputs), frame);
      const { loss, terms } = objective({ ...frame, ...predicted });
      return { loss, extra: { predicted, terms } };
    });
    const gradient = flatten(grads);
    const gradNorm = tf.sqrt(tf.sum(tf.square(gradient))) as tf.Scalar;
    const clipped = clip === undefined ? gradient : tf.mul(gradient, tf.minimum(1, tf.div(clip, tf.add(gradNorm, 1e-6))));
    const finite = tf.logicalAnd(tf.isFinite(loss), tf.isFinite(gradNorm)) as tf.Scalar;
    const count = tf.add(net.count, 1) as tf.Scalar;
    const next = optimizer.update(net.weights, clipped as tf.Tensor1D, net.slots, tf.scalar(net.lr(frame.step)), count);
    net.weights.assign(tf.where(finite, next.weights, net.weights));
    for (const [name, slot] of Object.entries(net.slots)) slot.assign(tf.where(finite, next.slots[name] as tf.Tensor1D, slot));
    net.count.assign(tf.where(finite, count, net.count));
    const metrics = {
      ...('metrics' in frame ? (frame as unknown as Measured).metrics : {}),
      [`${net.name}.loss`]: loss,
      ...Object.fromEntries(Object.entries(terms).map(([name, value]) => [`${net.name}.${name}`, value])),
      [`${net.name}.gradNorm`]: gradNorm,
      [`${net.name}.finite`]: tf.cast(finite, 'float32') as tf.Scalar,
    };
    return { ...frame, ...predicted, metrics };
  });
}
