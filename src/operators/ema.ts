import type { OperatorFunction } from 'rxjs';
import * as tf from '../tf.ts';
import type { Net } from '../models/net.ts';
import type { Course } from '../schedules/course.ts';
import type { Batch } from '../streams/frames.ts';
import { mapTensors } from '../streams/mapTensors.ts';

/** The share of the old average that one step keeps: 0.5^(images / halfLife). */
export const emaDecay = (images: number, halfLife: number): number => 0.5 ** (images / halfLife);

/**
 * Moves a network's EMA shadow towards its weights: shadow = decay * shadow + (1 - decay) * weights, decay = 0.5^(B / half-life).
 * The half-life is ramped up: never more than `rampUp` times the images seen, so that the start of training is forgotten.
 *
 * Reads  step, ids (their number is the batch size)
 * Adds   nothing
 * Timing one frame out for each frame in, synchronously; ends and fails with its source.
 * @param options.halfLife in images; or a course of it over the images seen so far, which may be 0 (the shadow is then a plain copy), and which nothing bounds
 * @param options.rampUp share of the images seen so far that bounds a fixed half-life; 0.05 as in the source
 * @throws TypeError when the network keeps no shadow, RangeError when an option is not positive
 * @source Karras et al. 2022 (EDM), arXiv 2206.00364, appendix F.2; courses: Huang et al. 2025 (R3GAN), arXiv 2501.05441, `training_loop.py`
 */
export function ema<F extends Batch, I extends readonly unknown[], O>(net: Net<I, O>, { halfLife, rampUp = 0.05 }: { halfLife: number | Course; rampUp?: number }): OperatorFunction<F, F> {
  const { shadow } = net;
  if (!shadow) throw new TypeError(`ema: expected ${net.name} to keep a shadow but it was made without one`);
  if (typeof halfLife === 'number' && !(halfLife > 0) || !(rampUp > 0)) throw new RangeError(`ema: expected positive halfLife and rampUp but received ${halfLife} and ${rampUp}`);
  return mapTensors(`ema(${net.name})`, (frame) => {
    const images = frame.ids.length;
    const seen = images * frame.step;
    const decay = tf.scalar(emaDecay(images, Math.max(1e-6, typeof halfLife === 'number' ? Math.min(halfLife, rampUp * seen) : halfLife(seen))));
    shadow.assign(tf.add(net.weights, tf.mul(tf.sub(shadow, net.weights), decay)));
    return frame;
  });
}
