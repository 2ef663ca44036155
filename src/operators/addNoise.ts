import type { OperatorFunction } from 'rxjs';
import * as tf from '../tf.ts';
import { type Key, fold, normal, uniform } from '../random.ts';
import type { Batch } from '../streams/frames.ts';
import { mapTensors } from '../streams/mapTensors.ts';

/** A frame with something to mix noise into. */
export type Encoded = Batch & Readonly<{ sourceLatent: tf.Tensor4D }>;

/** What the noise mix adds. */
export type Mixed = Readonly<{ noisy: tf.Tensor4D; r: tf.Tensor4D }>;

/**
 * The one-step generator's noise mix: noisy = r * sourceLatent + (1 - r) * eps, with one r per image.
 *
 * Reads  sourceLatent  float32 [B, H, W, C]
 * Adds   r             float32 [B, 1, 1, 1], drawn uniformly from `gamma`
 *        noisy         float32 [B, H, W, C]
 * Timing one frame out for each frame in, synchronously; ends and fails with its source.
 * @param options.gamma range of r in [0, 1]; [1, 1] is the deterministic mode, where no noise is drawn
 * @param options.key draws r and eps, as functions of the step
 * @throws RangeError when `gamma` is no range within [0, 1]
 * @source Parmar et al. 2024, arXiv 2403.12036, section 3.4
 */
export function addNoise<F extends Encoded>({ gamma: [low, high], key }: { gamma: readonly [number, number]; key: Key }): OperatorFunction<F, F & Mixed> {
  if (!(low >= 0 && low <= high && high <= 1)) throw new RangeError(`addNoise: expected 0 <= low <= high <= 1 but received [${low}, ${high}]`);
  return mapTensors('addNoise', (frame) => {
    const { step, sourceLatent } = frame;
    const [batch] = sourceLatent.shape;
    if (low === 1) return { ...frame, r: tf.ones<tf.Rank.R4>([batch, 1, 1, 1]), noisy: tf.clone(sourceLatent) };
    const r = tf.tensor4d(uniform(fold(key, 'r', step), batch).map((u) => low + (high - low) * u), [batch, 1, 1, 1]);
    const eps = tf.tensor4d(normal(fold(key, 'eps', step), sourceLatent.size), sourceLatent.shape);
    return { ...frame, r, noisy: tf.add<tf.Tensor4D>(tf.mul(sourceLatent, r), tf.mul(eps, tf.sub(1, r))) };
  });
}
