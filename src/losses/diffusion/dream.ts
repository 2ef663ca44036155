import * as tf from '../../tf.ts';
import type { LevelTensors } from './levels.ts';

type Image = tf.Tensor4D;

/**
 * DREAM's adaptation: part of the network's own error is put into its input, so that training sees what sampling will. The noise becomes
 * eps' = eps + lambda (eps - eps1), lambda = sigma^p, where eps1 is the network's first estimate; the image it stands for stays x0. Train on
 * x' = alpha x0 + sigma eps' with any prediction's target made of x0 and eps' (for eps that is eps + lambda d).
 * @param noise eps, what x was made with @param estimate eps1; made without gradient (see `toNoise` for other predictions)
 * @param options.p 1 as published; 0 rectifies fully, infinity is plain diffusion
 * @source Zhou et al. 2024, arXiv 2312.00210, algorithm 3. lambda is sqrt(1 - abar)^p
 */
export const dream = (noise: Image, estimate: Image, { sigma }: Pick<LevelTensors, 'sigma'>, { p = 1 }: { p?: number } = {}): Image => {
  if (!(p >= 0)) throw new RangeError(`dream: expected p to be at least 0 but received ${p}`);
  if (p === Infinity) return noise;
  const lambda = p === 0 ? tf.onesLike(sigma) : p === 1 ? sigma : tf.pow(sigma, p);
  return tf.add(noise, tf.mul(tf.sub(noise, estimate), lambda));
};
