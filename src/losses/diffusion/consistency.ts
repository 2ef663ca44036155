/** Consistency training and distillation. @source Song et al. 2023, arXiv 2303.01469, algorithms 2 and 3; openai/consistency_models, karras_diffusion.py */
import { linspace } from '../../schedules/betas.ts';
import { type SigmaRange } from '../../schedules/sigmas.ts';
import * as tf from '../../tf.ts';
import { stopGradient } from './stopGradient.ts';

type Image = tf.Tensor4D;

/** A denoiser by sigma, float32 [B, 1, 1, 1]. */
export type DenoiserAt = (x: Image, sigma: Image) => Image;

/** Neighbouring sigmas of a Karras grid of `scales` values: the noisier at each index 0..scales-2, and the next. */
export const neighbours = (indices: ArrayLike<number>, scales: number, { sigmaMin, sigmaMax }: SigmaRange = { sigmaMin: 0.002, sigmaMax: 80 }, rho = 7): Readonly<{ sigma: number[]; next: number[] }> => {
  const grid = linspace(sigmaMax ** (1 / rho), sigmaMin ** (1 / rho), scales).map((root) => root ** rho);
  return { sigma: Array.from(indices, (i) => grid[i] as number), next: Array.from(indices, (i) => grid[i + 1] as number) };
};

/** The teacher's Heun step from sigma to next. */
export const heunStep = (teacher: DenoiserAt, x: Image, sigma: Image, next: Image): Image => {
  const d = tf.div(tf.sub(x, teacher(x, sigma)), sigma);
  const moved = tf.add<Image>(x, tf.mul(d, tf.sub(next, sigma)));
  const d2 = tf.div(tf.sub(moved, teacher(moved, next)), next);
  return tf.add(x, tf.mul(tf.add(d, d2), tf.div(tf.sub(next, sigma), 2)));
};

/** Without a teacher the clean image itself gives the direction: one Euler step. */
export const eulerStep = (x0: Image, x: Image, sigma: Image, next: Image): Image => tf.add(x, tf.mul(tf.div(tf.sub(x, x0), sigma), tf.sub(next, sigma)));

/** What a loss compares: the online network's output at sigma, and the target network's at the next. Only the first carries a gradient. */
export type ConsistencyPair = Readonly<{ output: Image; target: Image }>;

/**
 * The two outputs that consistency asks to be equal.
 * @param noise unit normal @param sigma, next float32 [B, 1, 1, 1]
 * @param options.teacher a trained denoiser; without it this is consistency training
 */
export const consistencyPair = (online: DenoiserAt, target: DenoiserAt, x0: Image, noise: Image, { sigma, next, teacher }: { sigma: Image; next: Image; teacher?: DenoiserAt }): ConsistencyPair => {
  const x = tf.add<Image>(x0, tf.mul(noise, sigma));
  const moved = teacher ? heunStep(teacher, x, sigma, next) : eulerStep(x0, x, sigma, next);
  return { output: online(x, sigma), target: stopGradient(target(moved, next)) };
};
