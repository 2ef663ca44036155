/** What the optimizers share: option checks, weight decay into the gradient, and bias corrections that stay exact in float32. */
import * as tf from '../tf.ts';

/** @throws RangeError naming the first option that is out of range */
export const checkOptions = (optimizer: string, options: Readonly<Record<string, readonly [value: number, fits: boolean, expected: string]>>): void => {
  for (const [name, [value, fits, expected]] of Object.entries(options)) {
    if (!fits) throw new RangeError(`${optimizer}: expected ${name} to be ${expected} but received ${value}`);
  }
};

/** Range checks in the form that `checkOptions` takes. */
export const nonNegative = (value: number): readonly [number, boolean, string] => [value, value >= 0 && Number.isFinite(value), 'a non-negative number'];
export const share = (value: number): readonly [number, boolean, string] => [value, value >= 0 && value < 1, 'in [0, 1)'];

/** The gradient with the L2 penalty's gradient added and, to maximise, its sign turned (the sign first, as PyTorch has it). */
export const effectiveGradient = (gradient: tf.Tensor1D, weights: tf.Tensor1D, { weightDecay, maximize }: { weightDecay: number; maximize: boolean }): tf.Tensor1D => {
  const signed = maximize ? tf.neg(gradient) : gradient;
  return weightDecay === 0 ? signed : tf.add(signed, tf.mul(weights, weightDecay));
};

/** `old * keep + value * (1 - keep)`. */
export const lerp = (old: tf.Tensor1D, value: tf.Tensor1D, keep: number): tf.Tensor1D => tf.add(tf.mul(old, keep), tf.mul(value, 1 - keep));

/**
 * 1 - beta^count inside the graph, as 2 tanh(y) / (1 + tanh(y)) with y = -count ln(beta) / 2: for beta near 1 the plain difference would lose half of
 * float32's digits at the first steps.
 */
export const biasCorrection = (beta: number, count: tf.Scalar): tf.Scalar => {
  if (beta === 0) return tf.onesLike(count);
  const tanh = tf.tanh(tf.mul(count, -Math.log(beta) / 2));
  return tf.div(tf.mul(tanh, 2), tf.add(tanh, 1));
};
