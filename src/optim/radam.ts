import * as tf from '../tf.ts';
import type { Optimizer } from './optimizer.ts';
import { biasCorrection, checkOptions, effectiveGradient, lerp, nonNegative, share } from './rules.ts';

export type RadamOptions = Readonly<{
  beta1?: number;
  beta2?: number;
  /** Added to the root of the second moment, before its bias correction; 1e-8. */
  eps?: number;
  weightDecay?: number;
  /** Shrink the weights by lr * weightDecay instead of adding the penalty's gradient; false. */
  decoupled?: boolean;
  /** Climb instead of descending; false. */
  maximize?: boolean;
}>;

/**
 * Length of the approximated simple moving average, rho_t = rho_inf - 2 t beta2^t / (1 - beta2^t), in the graph. Written around
 * z coth z - 1 (z = -t ln(beta2) / 2), by its series while z is small, since the plain difference of two numbers near 2 / (1 - beta2) has no
 * digits left at the first steps in float32.
 */
const averageLength = (beta2: number, count: tf.Scalar): tf.Tensor => {
  const rate = -Math.log(beta2);
  const z = tf.mul(count, rate / 2);
  const z2 = tf.square(z);
  const series = [2 / 93555, -1 / 4725, 2 / 945, -1 / 45, 1 / 3].reduce<tf.Tensor>((sum, c) => tf.mul(tf.add(sum, c), z2), tf.zerosLike(z2));
  const exact = tf.sub(tf.div(z, tf.tanh(z)), 1);
  const offset = 2 / (1 - beta2) - 1 - 2 / rate;
  return tf.add(tf.sub(count, tf.mul(tf.where(tf.less(z, 0.5), series, exact), 2 / rate)), offset);
};

/**
 * Rectified Adam, as `torch.optim.RAdam`: momentum alone while the variance of the second moment is intractable (rho_t <= 5), then Adam's step times
 * r_t = sqrt((rho_t - 4)(rho_t - 2) rho_inf / ((rho_inf - 4)(rho_inf - 2) rho_t)). Both are in the graph and `count` chooses.
 * @throws RangeError when a beta is outside [0, 1), beta2 is 0, or eps or weightDecay is negative
 * @source Liu et al. 2019, arXiv 1908.03265, algorithm 2
 */
export const radam = ({ beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weightDecay = 0, decoupled = false, maximize = false }: RadamOptions = {}): Optimizer => {
  checkOptions('radam', { beta1: share(beta1), beta2: [beta2, beta2 > 0 && beta2 < 1, 'in (0, 1)'], eps: nonNegative(eps), weightDecay: nonNegative(weightDecay) });
  const rhoInf = 2 / (1 - beta2) - 1;
  return {
    name: 'radam',
    slots: { expAvg: 0, expAvgSq: 0 },
    update: (weights, gradient, slots, lr, count) => {
      const decayed = decoupled && weightDecay !== 0 ? tf.mul(weights, tf.sub(1, tf.mul(lr, weightDecay))) : weights;
      const g = effectiveGradient(gradient, weights, { weightDecay: decoupled ? 0 : weightDecay, maximize });
      const expAvg = lerp(slots['expAvg'] as tf.Tensor1D, g, beta1);
      const expAvgSq = lerp(slots['expAvgSq'] as tf.Tensor1D, tf.square(g), beta2);
      const rho = averageLength(beta2, count);
      const tractable = tf.greater(rho, 5);
      const safe = tf.maximum(rho, 5);
      const rectified = tf.sqrt(tf.mul(tf.div(tf.mul(tf.sub(safe, 4), tf.sub(safe, 2)), safe), rhoInf / ((rhoInf - 4) * (rhoInf - 2))));
      const adaptive = tf.div(tf.mul(tf.sqrt(biasCorrection(beta2, count)), rectified), tf.add(tf.sqrt(expAvgSq), eps));
      const scale = tf.mul(tf.where(tractable, adaptive, tf.onesLike(adaptive)), tf.div(lr, biasCorrection(beta1, count)));
      return { weights: tf.sub(decayed, tf.mul(expAvg, scale)) as tf.Tensor1D, slots: { expAvg, expAvgSq } };
    },
  };
};
