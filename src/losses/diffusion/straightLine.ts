/**
 * Regularisers that ask the latents of pairs to lie on one line, and what keeps them from collapsing. Latents come flattened, float32 [B, D]; every
 * regulariser but the anti-collapse terms is unchanged when all latents are scaled.
 */
import * as tf from '../../tf.ts';
import { stopGradient } from './stopGradient.ts';

type Latents = tf.Tensor2D;
const tiny = 1e-6;

const meanNorm = (x: tf.Tensor): tf.Scalar => tf.mean(tf.sum(tf.square(x), 1)) as tf.Scalar;
const centred = (x: Latents): Latents => tf.sub(x, tf.mean(x, 0, true));

/** E||d - shift||^2 / E||b - mean b||^2, d = target - source: 0 when all pairs are apart by the same vector. @param shift float32 [D], an average kept without gradient */
export const commonShift = (source: Latents, target: Latents, shift: tf.Tensor1D): tf.Scalar =>
  tf.div(meanNorm(tf.sub(tf.sub(target, source), stopGradient(shift))), tf.add(meanNorm(centred(target)), tiny)) as tf.Scalar;

/** E[1 - (d.u)^2 / ||d||^2]: 0 when all displacements are parallel to u. @param direction float32 [D], of any length but 0 */
export const commonDirection = (source: Latents, target: Latents, direction: tf.Tensor1D): tf.Scalar => {
  const d = tf.sub<Latents>(target, source);
  const u = tf.div(direction, tf.sqrt(tf.add(tf.sum(tf.square(direction)), tiny ** 2)));
  const along = tf.square(tf.sum(tf.mul(d, u), 1));
  return tf.mean(tf.sub(1, tf.div(along, tf.add(tf.sum(tf.square(d), 1), tiny)))) as tf.Scalar;
};

/**
 * 1 - the first principal component's share of the variance of all latents: 0 when they lie on one line. The component is found by power iteration,
 * and held fixed in the gradient, which is then exact at its fixed point.
 */
export const oneLine = (latents: Latents, { iterations = 16 }: { iterations?: number } = {}): tf.Scalar => {
  const x = centred(latents);
  const fixed = stopGradient(x);
  let v = tf.slice2d(fixed, [0, 0], [1, -1]);
  for (let i = 0; i < iterations; i++) {
    const next = tf.matMul(tf.matMul(v, fixed, false, true), fixed) as Latents;
    v = tf.div(next, tf.add(tf.sqrt(tf.sum(tf.square(next))), 1e-30));
  }
  const along = tf.sum(tf.square(tf.matMul(x, v, false, true)));
  return tf.sub(1, tf.div(along, tf.add(tf.sum(tf.square(x)), tiny))) as tf.Scalar;
};

/** E||v - d||^2 / E||d||^2 for a velocity predicted on the way between source and target. */
export const straightFlow = (velocity: Latents, source: Latents, target: Latents): tf.Scalar => {
  const d = tf.sub<Latents>(target, source);
  return tf.div(meanNorm(tf.sub(velocity, d)), tf.add(meanNorm(d), tiny)) as tf.Scalar;
};

/**
 * What keeps latents from shrinking and from repeating themselves: mean_k max(0, 1 - std_k) + covarianceWeight * sum_{k != l} C_kl^2 / D.
 * @source Bardes et al. 2022 (VICReg), arXiv 2105.04906, eq. 1 to 4
 */
export const antiCollapse = (latents: Latents, { varianceWeight = 1, covarianceWeight = 0.04 }: { varianceWeight?: number; covarianceWeight?: number } = {}): tf.Scalar => {
  const [count, size] = latents.shape;
  if (count < 2) throw new RangeError(`antiCollapse: expected at least two latents but received ${count}`);
  const x = centred(latents);
  const std = tf.sqrt(tf.add(tf.div(tf.sum(tf.square(x), 0), count - 1), 1e-4));
  const hinge = tf.mean(tf.relu(tf.sub(1, std)));
  const covariance = tf.div(tf.matMul(x, x, true, false), count - 1);
  const offDiagonal = tf.sub(tf.sum(tf.square(covariance)), tf.sum(tf.square(tf.div(tf.sum(tf.square(x), 0), count - 1))));
  return tf.add(tf.mul(hinge, varianceWeight), tf.mul(offDiagonal, covarianceWeight / size)) as tf.Scalar;
};

/** The average displacement, followed over steps: decay * shift + (1 - decay) * mean(target - source). */
export const followShift = (shift: tf.Tensor1D, source: Latents, target: Latents, decay = 0.99): tf.Tensor1D =>
  tf.add(tf.mul(shift, decay), tf.mul(tf.mean(tf.sub(target, source), 0), 1 - decay)) as tf.Tensor1D;
