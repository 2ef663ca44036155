import * as tf from '../tf.ts';

/**
 * Charbonnier loss, a differentiable absolute error: mean of sqrt((prediction - target)^2 + eps^2).
 * @source Charbonnier et al. 1994; eps = 1e-3 as in Lai et al. 2017, arXiv 1710.01992
 */
export const charbonnier = (prediction: tf.Tensor, target: tf.Tensor, { eps = 1e-3 }: { eps?: number } = {}): tf.Scalar => {
  if (!(eps > 0)) throw new RangeError(`charbonnier: expected eps to be positive but received ${eps}`);
  return tf.mean(tf.sqrt(tf.add(tf.square(tf.sub(prediction, target)), eps * eps)));
};
