import type { OperatorFunction } from 'rxjs';
import * as tf from '../tf.ts';
import { straightness } from '../losses/diffusion/flow.ts';
import type { Latents } from '../models/codec.ts';
import { type Net, applyNet } from '../models/net.ts';
import { type Key, fold, normal } from '../random.ts';
import { flowStates } from '../schedules/samplers/flowStates.ts';
import type { Batch, Measured } from '../streams/frames.ts';
import { mapTensors } from '../streams/mapTensors.ts';

type Image = tf.Tensor4D;

/** What reflow adds: the noise that a path begins with, where it begins with noise. */
export type Reflowed = Measured & Partial<Readonly<{ eps: Image }>>;

/**
 * Replaces each target by where a teacher's flow leads from the beginning of the path: the coupling that rectified flow is trained on again. The pairs are made
 * as they are needed, from noise that is a function of the step, so that none has to be stored.
 *
 * Reads  sourceLatent, targetLatent  float32 [B, H, W, C]
 * Adds   targetLatent                the end of the teacher's path, in place of the real one
 *        eps                         its beginning, when that is noise; what `corrupt` then mixes in
 *        metrics                     `<teacher>.straightness`, the mean squared distance of the path's velocities from its whole displacement; 0 is straight
 * Timing one frame out for each frame in, synchronously; ends and fails with its source.
 * @param teacher answers the velocity for (z, t in 0..1000, source); no gradient reaches it
 * @param options.from where paths begin: unit normal noise, or the source
 * @param options.steps calls of the teacher, by Euler's method
 * @param options.limit applied to the new target, such as a clamp in pixel space
 * @param options.key draws the noise, as a function of the step
 * @throws RangeError when `steps` is not a positive integer
 * @source Liu et al. 2023 (rectified flow), arXiv 2209.03003, algorithm 1
 */
export function reflow<F extends Batch & Latents>(teacher: Net<[noisy: Image, t: tf.Tensor1D, source: Image], Image>, { from, steps, limit, key }: {
  from: 'noise' | 'source'; steps: number; limit?: (target: Image) => Image; key: Key;
}): OperatorFunction<F, F & Reflowed> {
  if (!Number.isInteger(steps) || steps < 1) throw new RangeError(`reflow: expected steps to be a positive integer but received ${steps}`);
  return mapTensors(`reflow(${teacher.name})`, (frame: F) => {
    const { step, sourceLatent } = frame;
    const velocity = applyNet(teacher);
    const begin = from === 'source' ? sourceLatent : tf.tensor4d(normal(fold(key, 'reflow', step), sourceLatent.size), sourceLatent.shape);
    const states = flowStates((z, t) => velocity(z, tf.fill([sourceLatent.shape[0]], 1000 * t), sourceLatent), begin, steps);
    const end = states[steps] as Image;
    return {
      ...frame, targetLatent: limit ? limit(end) : end, ...(from === 'noise' && { eps: begin }),
      metrics: { ...(frame as Partial<Measured>).metrics, [`${teacher.name}.straightness`]: straightness(states) },
    };
  });
}
