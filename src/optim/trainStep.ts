import * as tf from '../tf.ts';
import type { Objective } from '../losses/objective.ts';
import { differentiate } from '../models/differentiate.ts';
import type { Net } from '../models/net.ts';
import type { Params } from '../models/network.ts';
import type { Batch, Measured } from '../streams/frames.ts';
import { updateNet } from './update.ts';

/** What a network says about a frame, with the parameters being trained (`params`, for losses that look at one of them). */
export type Predict<I extends readonly unknown[], O, F, P> = (net: (...inputs: I) => O, frame: F, params: Params) => P;

/** Metrics a frame has already, if any. */
const measured = (frame: Batch): Measured['metrics'] => ('metrics' in frame ? (frame as unknown as Measured).metrics : {});

/**
 * One optimizer update of one network on one frame: forward pass, loss, gradient, clipping, update. Call inside a tidy.
 * @returns the frame with what `predict` made, as constants, and the metrics `<net>.loss`, `<net>.<term>`, `<net>.gradNorm`, `<net>.finite`
 */
export const trainStep = <F extends Batch, I extends readonly unknown[], O, P extends object>(
  net: Net<I, O>, frame: F, predict: Predict<I, O, F, P>, objective: Objective<F & P>, { clip }: { clip?: number | undefined } = {},
): F & P & Measured => {
  const { loss, gradient, extra: { predicted, terms }, keepBuffers } = differentiate(net, (apply, params) => {
    const predicted = predict(apply, frame, params);
    const { loss, terms } = objective({ ...frame, ...predicted });
    return { loss, extra: { predicted, terms } };
  });
  const { gradNorm, finite } = updateNet(net, gradient, { loss, step: frame.step, clip });
  keepBuffers(finite);
  const metrics = {
    ...measured(frame),
    [`${net.name}.loss`]: loss,
    ...Object.fromEntries(Object.entries(terms).map(([name, value]) => [`${net.name}.${name}`, value])),
    [`${net.name}.gradNorm`]: gradNorm,
    [`${net.name}.finite`]: tf.cast(finite, 'float32') as tf.Scalar,
  };
  return { ...frame, ...predicted, metrics };
};
