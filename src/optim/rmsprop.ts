import * as tf from '../tf.ts';
import type { Optimizer } from './optimizer.ts';
import { checkOptions, effectiveGradient, lerp, nonNegative, share } from './rules.ts';

export type RmspropOptions = Readonly<{
  /** Share of the old mean squared gradient that a step keeps; 0.99. */
  alpha?: number;
  /** Added to the root; 1e-8. */
  eps?: number;
  /** L2 penalty whose gradient is added to the gradient; 0. */
  weightDecay?: number;
  /** Share of the old velocity that a step keeps; 0. */
  momentum?: number;
  /** Divide by the standard deviation of the gradient instead of its root mean square; false. */
  centered?: boolean;
  /** Climb instead of descending; false. */
  maximize?: boolean;
}>;

/**
 * RMSprop, as `torch.optim.RMSprop`: v = alpha v + (1 - alpha) g^2, w -= lr g / (sqrt(v) + eps), with optional momentum on the scaled gradient.
 * @throws RangeError when alpha is outside [0, 1), or eps, weightDecay or momentum is negative
 * @source Tieleman and Hinton 2012, Coursera lecture 6.5; Graves 2013, arXiv 1308.0850, eq. 38-41 (centred)
 */
export const rmsprop = ({ alpha = 0.99, eps = 1e-8, weightDecay = 0, momentum = 0, centered = false, maximize = false }: RmspropOptions = {}): Optimizer => {
  checkOptions('rmsprop', { alpha: share(alpha), eps: nonNegative(eps), weightDecay: nonNegative(weightDecay), momentum: nonNegative(momentum) });
  return {
    name: 'rmsprop',
    slots: { squareAvg: 0, ...(centered && { gradAvg: 0 }), ...(momentum > 0 && { momentumBuffer: 0 }) },
    update: (weights, gradient, slots, lr) => {
      const g = effectiveGradient(gradient, weights, { weightDecay, maximize });
      const squareAvg = lerp(slots['squareAvg'] as tf.Tensor1D, tf.square(g), alpha);
      const gradAvg = centered ? lerp(slots['gradAvg'] as tf.Tensor1D, g, alpha) : undefined;
      const variance = gradAvg === undefined ? squareAvg : tf.sub(squareAvg, tf.square(gradAvg));
      const scaled = tf.div(g, tf.add(tf.sqrt(variance), eps)) as tf.Tensor1D;
      const velocity = momentum > 0 ? tf.add(tf.mul(slots['momentumBuffer'] as tf.Tensor1D, momentum), scaled) as tf.Tensor1D : undefined;
      return {
        weights: tf.sub(weights, tf.mul(velocity ?? scaled, lr)) as tf.Tensor1D,
        slots: { squareAvg, ...(gradAvg && { gradAvg }), ...(velocity && { momentumBuffer: velocity }) },
      };
    },
  };
};
