/** Latent consistency distillation. @source Luo et al. 2023, arXiv 2310.04378; huggingface/diffusers, examples/consistency_distillation */
import type { VpSchedule } from '../../schedules/betas.ts';
import { expFloat32 } from '../../schedules/float32.ts';
import { lcmBoundary } from '../../schedules/samplers/consistency.ts';
import * as tf from '../../tf.ts';
import { perImage } from './levels.ts';

type Image = tf.Tensor4D;

/** The teacher's grid of `steps` timesteps, ascending, and the products at each and at the one before (timestep 0 before the first). */
export type DdimGrid = Readonly<{ timesteps: number[]; alphasCumprod: number[]; previous: number[] }>;

export const ddimGrid = ({ alphasCumprod }: VpSchedule, steps = 50): DdimGrid => {
  const total = alphasCumprod.length;
  if (!Number.isInteger(steps) || steps < 1 || steps > total) throw new RangeError(`ddimGrid: expected steps in 1..${total} but received ${steps}`);
  const stride = Math.floor(total / steps);
  const timesteps = Array.from({ length: steps }, (_, j) => (j + 1) * stride - 1);
  const products = timesteps.map((t) => alphasCumprod[t] as number);
  return { timesteps, alphasCumprod: products, previous: [alphasCumprod[0] as number, ...products.slice(0, -1)] };
};

/** Guidance by the extra scale w: cond + w (cond - uncond); the usual guidance scale is w + 1. @param w float32 [B, 1, 1, 1] */
export const guided = (cond: Image, uncond: Image, w: Image): Image => tf.add(cond, tf.mul(tf.sub(cond, uncond), w));

/** The teacher's DDIM step to the previous grid point. @param index place in the grid, one per image */
export const ddimSolve = ({ previous }: DdimGrid, x0: Image, noise: Image, index: ArrayLike<number>): Image => {
  const abar = Array.from(index, (j) => previous[j] as number);
  return tf.add(tf.mul(x0, perImage(abar.map(Math.sqrt))), tf.mul(noise, perImage(abar.map((a) => Math.sqrt(1 - a)))));
};

/** The consistency output cSkip x + cOut x0 at given timesteps. */
export const consistencyOutput = (x: Image, x0: Image, timesteps: ArrayLike<number>, options: { scaling?: number; sigmaData?: number } = {}): Image => {
  const weights = Array.from(timesteps, lcmBoundary(options));
  return tf.add(tf.mul(x, perImage(weights.map(({ cSkip }) => cSkip))), tf.mul(x0, perImage(weights.map(({ cOut }) => cOut))));
};

/**
 * Sinusoids of a guidance scale times 1000: [B] to [B, channels], sines first. Angles reach thousands, so they are rounded to float32 where the
 * reference rounds them: trained weights have seen those.
 * @source google-research/vdm, model_vdm.py */
export const guidanceEmbedding = (w: ArrayLike<number>, channels = 256): tf.Tensor2D => {
  const f = Math.fround;
  const half = Math.floor(channels / 2);
  const rate = f(f(Math.log(10_000)) / (half - 1));
  const rows = Array.from(w, (scale) => {
    const angles = Array.from({ length: half }, (_, i) => f(f(f(scale) * 1000) * expFloat32(i * -rate)));
    return [...angles.map(Math.sin), ...angles.map(Math.cos), ...(channels % 2 === 1 ? [0] : [])];
  });
  return tf.tensor2d(rows, [w.length, channels]);
};
