import * as tf from '../tf.ts';

type Image = tf.Tensor4D;

/** One [size, size] matrix per image that blurs along an axis: rows are Gaussians about their place, cut off at the edges and normalised. @param sigma float32 [B] */
const blurMatrix = (size: number, sigma: tf.Tensor1D): tf.Tensor3D => {
  const places = Float32Array.from({ length: size }, (_, i) => i);
  const distance = tf.square(tf.sub(tf.tensor2d(places, [size, 1]), tf.tensor2d(places, [1, size])));
  const weights = tf.exp(tf.neg(tf.div(tf.expandDims(distance, 0), tf.mul(2, tf.square(tf.reshape(sigma, [-1, 1, 1]))))));
  return tf.div(weights, tf.sum(weights, 2, true));
};

/**
 * Blurs each image by a Gaussian of its own width. At the edges only what is inside counts. Written as two matrix products, so that the width is a value of the
 * graph and not part of it.
 * @param images float32 [B, H, W, C] @param width float32 [B], standard deviations in pixels, positive; or one for all
 */
export const gaussianBlur = (images: Image, width: tf.Tensor1D | number): Image => {
  const [b, h, w, c] = images.shape;
  const sigma: tf.Tensor1D = typeof width === 'number' ? tf.fill([b], width) : width;
  const down = tf.reshape(tf.matMul(blurMatrix(h, sigma), tf.reshape(images, [b, h, w * c])), [b, h, w, c]);
  const turned = tf.reshape(tf.transpose(down, [0, 2, 1, 3]), [b, w, h * c]);
  return tf.transpose(tf.reshape(tf.matMul(blurMatrix(w, sigma), turned), [b, w, h, c]), [0, 2, 1, 3]) as Image;
};
