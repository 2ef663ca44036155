import * as tf from '../tf.ts';

/**
 * KL divergence of N(mean, exp(logVariance)) from N(0, 1), summed over each image's latent: 0.5 sum(mean^2 + variance - 1 - logVariance).
 * @param mean, logVariance float32 [B, ...]
 * @returns float32 [B]
 * @source Kingma and Welling 2013, arXiv 1312.6114, appendix B
 */
export const klDivergence = (mean: tf.Tensor, logVariance: tf.Tensor): tf.Tensor1D => {
  const terms = tf.sub(tf.sub(tf.add(tf.square(mean), tf.exp(logVariance)), 1), logVariance);
  return tf.mul(tf.sum(tf.reshape(terms, [mean.shape[0] as number, -1]), 1), 0.5);
};
