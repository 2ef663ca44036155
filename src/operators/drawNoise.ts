import type { OperatorFunction } from 'rxjs';
import * as tf from '../tf.ts';
import { type Key, fold, normal, uniform } from '../random.ts';
import type { Pair } from '../streams/frames.ts';
import { mapTensors } from '../streams/mapTensors.ts';

/** What a one-step generator on latents draws. */
export type Drawn = Readonly<{ r: tf.Tensor4D; noise: tf.Tensor4D; eps: tf.Tensor4D }>;

/**
 * Draws what a one-step generator mixes into its latents, and what it samples them with.
 *
 * Reads  source  float32 [B, H, W, 3]
 * Adds   r       float32 [B, 1, 1, 1], the share of the source, drawn uniformly from `gamma`
 *        noise   float32 [B, H / factor, W / factor, channels], unit normal; zero where `gamma` is [1, 1], since nothing sees it there
 *        eps     the same shape, unit normal
 * Timing one frame out for each frame in, synchronously; ends and fails with its source. Applied again, it draws anew in their place.
 * @param space of the latents @param options.gamma range of r in [0, 1]
 * @param options.key draws all of them, as functions of the step
 * @throws RangeError when `gamma` is no range within [0, 1]
 * @source Parmar et al. 2024, arXiv 2403.12036, section 3.4
 */
export function drawNoise<F extends Pair>({ factor, channels }: Readonly<{ factor: number; channels: number }>, { gamma: [low, high], key }: { gamma: readonly [number, number]; key: Key }): OperatorFunction<F, F & Drawn> {
  if (!(low >= 0 && low <= high && high <= 1)) throw new RangeError(`drawNoise: expected 0 <= low <= high <= 1 but received [${low}, ${high}]`);
  return mapTensors('drawNoise', (frame) => {
    const { step, source: { shape: [batch, height, width] } } = frame;
    const shape: [number, number, number, number] = [batch, height / factor, width / factor, channels];
    const draw = (name: string): tf.Tensor4D => tf.tensor4d(normal(fold(key, name, step), shape.reduce((product, size) => product * size, 1)), shape);
    const r = low === 1 ? new Float32Array(batch).fill(1) : uniform(fold(key, 'r', step), batch).map((u) => low + (high - low) * u);
    return { ...frame, r: tf.tensor4d(r, [batch, 1, 1, 1]), noise: low === 1 ? tf.zeros(shape) as tf.Tensor4D : draw('noise'), eps: draw('eps') };
  });
}
