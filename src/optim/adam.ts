import * as tf from '../tf.ts';
import type { Optimizer } from './optimizer.ts';
import { biasCorrection, checkOptions, effectiveGradient, lerp, nonNegative, scheduledShare, share, shareNow } from './rules.ts';

export type AdamOptions = Readonly<{
  /** Share of the old mean gradient that a step keeps; 0.9. */
  beta1?: number;
  /** The same for the mean squared gradient; 0.999. A schedule says it of each update, from 0; bias is then corrected as if it had always been so, as PyTorch has it. */
  beta2?: number | ((update: number) => number);
  /** Added to the root of the second moment, after its bias correction; 1e-8. */
  eps?: number;
  /** L2 penalty whose gradient is added to the gradient (see `adamw` for the decoupled form); 0. */
  weightDecay?: number;
  /** Divide by the largest second moment so far; false. */
  amsgrad?: boolean;
  /** Climb instead of descending; false. */
  maximize?: boolean;
}>;

/** Adam's step, with the coupled weight decay of `adam` or the decoupled one of `adamw`. */
export const adamRule = (name: string, { beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weightDecay = 0, amsgrad = false, maximize = false }: AdamOptions, decoupled: boolean): Optimizer => {
  checkOptions(name, { beta1: share(beta1), ...(typeof beta2 === 'number' && { beta2: share(beta2) }), eps: nonNegative(eps), weightDecay: nonNegative(weightDecay) });
  return {
    name,
    slots: { expAvg: 0, expAvgSq: 0, ...(amsgrad && { maxExpAvgSq: 0 }) },
    ...(typeof beta2 !== 'number' && { scheduled: scheduledShare(`${name}.beta2`, beta2) }),
    update: (weights, gradient, slots, lr, count, scheduled) => {
      const keep2 = typeof beta2 === 'number' ? beta2 : shareNow(`${name}.beta2`, scheduled);
      const decayed = decoupled && weightDecay !== 0 ? tf.mul(weights, tf.sub(1, tf.mul(lr, weightDecay))) : weights;
      const g = effectiveGradient(gradient, weights, { weightDecay: decoupled ? 0 : weightDecay, maximize });
      const expAvg = lerp(slots['expAvg'] as tf.Tensor1D, g, beta1);
      const expAvgSq = lerp(slots['expAvgSq'] as tf.Tensor1D, tf.square(g), keep2);
      const second = amsgrad ? tf.maximum(slots['maxExpAvgSq'] as tf.Tensor1D, expAvgSq) : expAvgSq;
      const denominator = tf.add(tf.div(tf.sqrt(second), tf.sqrt(biasCorrection(keep2, count))), eps);
      const stepSize = tf.div(lr, biasCorrection(beta1, count));
      return {
        weights: tf.sub(decayed, tf.mul(tf.div(expAvg, denominator), stepSize)) as tf.Tensor1D,
        slots: { expAvg, expAvgSq, ...(amsgrad && { maxExpAvgSq: second as tf.Tensor1D }) },
      };
    },
  };
};

/**
 * Adam with L2 regularisation, as `torch.optim.Adam`: m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2,
 * w -= lr * (m / (1 - beta1^t)) / (sqrt(v) / sqrt(1 - beta2^t) + eps). With `amsgrad`, v is the running maximum.
 * @throws RangeError when a beta is outside [0, 1), or eps or weightDecay is negative
 * @source Kingma and Ba 2014, arXiv 1412.6980, algorithm 1; Reddi et al. 2018, arXiv 1904.09237, algorithm 2
 */
export const adam = (options: AdamOptions = {}): Optimizer => adamRule('adam', options, false);
