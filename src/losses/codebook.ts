import * as tf from '../tf.ts';
import { constantOf } from '../models/tape.ts';

/**
 * What a vector quantiser says about latents, without quantising them: each vector is drawn to its nearest entry and that entry to it, so that latents gather
 * in places. mean (sg[e] - z)^2 + beta mean (e - sg[z])^2, with sg a constant to the gradient.
 * @param latent float32 [B, h, w, C] @param entries float32 [size, C / parts]; each vector is cut into `parts` along its channels
 * @param options.beta weight of the codebook's own movement, 0.25
 * @source van den Oord et al. 2017 (VQ-VAE), arXiv 1711.00937, eq. 3, with the weights exchanged as in taming-transformers' "legacy" and HakuLatent's `KeplerQuantizerRegLoss`
 */
export const codebookLoss = (latent: tf.Tensor4D, entries: tf.Tensor2D, { beta = 0.25 }: { beta?: number } = {}): tf.Scalar => {
  const [size, width] = entries.shape;
  const vectors = tf.reshape(latent, [-1, width]) as tf.Tensor2D;
  // Picked by a product with rows that hold one 1: which entry is nearest is a value, not structure.
  const picks = constantOf(() => {
    const distances = tf.sub(tf.sum(tf.square(entries), 1), tf.mul(tf.matMul(vectors, entries, false, true), 2));
    return tf.oneHot(tf.argMin(distances, 1) as tf.Tensor1D, size).toFloat() as tf.Tensor2D;
  });
  const nearest = tf.matMul(picks, entries) as tf.Tensor2D;
  const fixed = (x: tf.Tensor2D): tf.Tensor2D => constantOf(() => tf.clone(x));
  return tf.add(tf.mean(tf.square(tf.sub(fixed(nearest), vectors))), tf.mul(tf.mean(tf.square(tf.sub(nearest, fixed(vectors)))), beta));
};
