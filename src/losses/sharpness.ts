import * as tf from '../tf.ts';

/**
 * How much fine detail each image has: the root mean square of its Laplacian (the sum of four neighbours less four times the pixel), over pixels and channels. A blurred
 * image has less than its original, noise has more; compare with the target's.
 * @param x float32 [B, H, W, C], at least 3 px a side
 * @returns float32 [B]
 */
export const sharpness = (x: tf.Tensor4D): tf.Tensor1D => {
  const [b, h, w, c] = x.shape;
  const at = (row: number, column: number): tf.Tensor4D => tf.slice(x, [0, row, column, 0], [b, h - 2, w - 2, c]);
  const around = [at(0, 1), at(2, 1), at(1, 0), at(1, 2)].reduce((sum, y) => tf.add(sum, y));
  return tf.sqrt(tf.mean(tf.square(tf.sub(around, tf.mul(at(1, 1), 4))), [1, 2, 3]));
};
