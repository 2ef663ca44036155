import * as tf from '../tf.ts';

/**
 * Pseudo-Huber loss, mean of sqrt(d^2 + c^2) - c with d the error: quadratic (d^2 / 2c) well below c, absolute well above. Written as
 * d^2 / (sqrt(d^2 + c^2) + c), which keeps its digits when d is small.
 * @source Song and Dhariwal 2023, arXiv 2310.14189, eq. 8 (per element here; per vector there)
 */
export const pseudoHuber = (prediction: tf.Tensor, target: tf.Tensor, { c = 0.03 }: { c?: number } = {}): tf.Scalar => {
  if (!(c > 0)) throw new RangeError(`pseudoHuber: expected c to be positive but received ${c}`);
  const square = tf.square(tf.sub(prediction, target));
  return tf.mean(tf.div(square, tf.add(tf.sqrt(tf.add(square, c * c)), c)));
};
