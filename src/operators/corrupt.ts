import type { OperatorFunction } from 'rxjs';
import * as tf from '../tf.ts';
import type { Corrupted } from '../losses/regress.ts';
import type { Latents } from '../models/codec.ts';
import { type Key, fold, normal, uniform } from '../random.ts';
import { type Draw, type Process, endOf, snrOfDraw } from '../schedules/processes/process.ts';
import { mapTensors } from '../streams/mapTensors.ts';
import type { Batch } from '../streams/frames.ts';

const column = (values: readonly number[]): tf.Tensor4D => tf.tensor4d([...values], [values.length, 1, 1, 1]);

/** target * a + source * b + eps * c, leaving out what has no weight in the whole batch's kind of process. */
const mixed = (draws: readonly Draw[], of: (draw: Draw) => Readonly<{ target: number; source: number; eps: number }>, { targetLatent, sourceLatent }: Latents, eps: tf.Tensor4D | undefined): tf.Tensor4D => {
  const part = (name: 'target' | 'source' | 'eps', tensor: tf.Tensor4D): tf.Tensor4D => tf.mul(tensor, column(draws.map((draw) => of(draw)[name])));
  const parts = [part('target', targetLatent), part('source', sourceLatent), ...(eps ? [part('eps', eps)] : [])];
  return tf.addN(parts);
};

/**
 * Mixes target, source and noise as a process says, at a time drawn per image, and works out what the network is to answer.
 *
 * Reads  sourceLatent, targetLatent  float32 [B, H, W, C]
 *        eps                         the same, where the frame has it: noise that belongs to this target, instead of fresh draws
 * Adds   t, noisy, goal, weight, mix (see `Corrupted`); noisy is scaled as the network wants it
 * Timing one frame out for each frame in, synchronously; ends and fails with its source.
 * @param process the method's numbers, such as `ddpm()`, `flow({ from: 'source' })`, `lbm()`, `i2sb()`
 * @param options.key draws times and noise, as functions of the step
 * @source each process names its own
 */
export function corrupt<F extends Batch & Latents & Partial<Readonly<{ eps: tf.Tensor4D }>>>(process: Process, { key }: { key: Key }): OperatorFunction<F, F & Corrupted> {
  return mapTensors(`corrupt(${process.name})`, (frame: F) => {
    const { step, targetLatent } = frame;
    const [batch] = targetLatent.shape;
    const draws = Array.from(uniform(fold(key, 'time', step), batch), process.draw);
    const eps = process.noisy ? frame.eps ?? tf.tensor4d(normal(fold(key, 'eps', step), targetLatent.size), targetLatent.shape) : undefined;
    const inputScale = column(draws.map((draw) => draw.inputScale));
    return {
      ...frame,
      t: tf.tensor1d(draws.map(({ t }) => t)),
      noisy: tf.mul<tf.Tensor4D>(mixed(draws, ({ noisy }) => noisy, frame, eps), inputScale),
      goal: mixed(draws, ({ goal }) => goal, frame, eps),
      weight: tf.tensor1d(draws.map(({ weight }) => weight)),
      mix: {
        inputScale,
        target: column(draws.map(({ noisy }) => noisy.target)),
        end: column(draws.map((draw) => draw.noisy[endOf(draw)])),
        goalEnd: column(draws.map((draw) => draw.goal[endOf(draw)])),
        estimateX: column(draws.map(({ estimate, inputScale }) => estimate.x / inputScale)),
        estimateOutput: column(draws.map(({ estimate }) => estimate.output)),
        estimateSource: column(draws.map(({ estimate }) => estimate.source)),
        snr: column(draws.map((draw) => Math.min(1e6, snrOfDraw(draw)))),
      },
    };
  });
}
