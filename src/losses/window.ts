/** Moving averages of images under a separable window, as the structural similarities use them. */
import * as tf from '../tf.ts';

/** Normalised Gaussian weights: `size` taps, `sigma` in pixels. */
export const gaussianWindow = (size: number, sigma: number): Float32Array => {
  const weights = Array.from({ length: size }, (_, i) => Math.exp(-((i - (size - 1) / 2) ** 2) / (2 * sigma * sigma)));
  const sum = weights.reduce((a, b) => a + b, 0);
  return Float32Array.from(weights, (w) => w / sum);
};

/** Equal weights. */
export const uniformWindow = (size: number): Float32Array => new Float32Array(size).fill(1 / size);

const mirrored = (x: tf.Tensor4D, axis: 1 | 2, radius: number): tf.Tensor4D => {
  const cut = (from: number): tf.Tensor4D => {
    const begin = [0, 0, 0, 0];
    const size = [...x.shape];
    begin[axis] = from;
    size[axis] = radius;
    return tf.reverse(tf.slice(x, begin, size), axis);
  };
  return tf.concat([cut(0), x, cut(x.shape[axis] - radius)], axis);
};

/**
 * Filters every channel by the same weights along height and width.
 * @param x float32 [B, H, W, C]
 * @param weights an odd number of taps
 * @param borders `valid` shortens each side by (taps - 1) / 2; `symmetric` continues the image by its mirror image, edge pixel repeated
 * @returns along a side shorter than the window nothing is filtered under `valid`
 */
export const filtered = (x: tf.Tensor4D, weights: Float32Array, borders: 'valid' | 'symmetric'): tf.Tensor4D => {
  const [b, h, w, c] = x.shape;
  const taps = weights.length;
  const along = (y: tf.Tensor4D, axis: 1 | 2): tf.Tensor4D => {
    if (borders === 'valid' && y.shape[axis] < taps) return y;
    const extended = borders === 'symmetric' ? mirrored(y, axis, (taps - 1) / 2) : y;
    return tf.conv2d(extended, tf.tensor4d(weights, axis === 1 ? [taps, 1, 1, 1] : [1, taps, 1, 1]), 1, 'valid');
  };
  const planes: tf.Tensor4D = tf.reshape(tf.transpose(x, [0, 3, 1, 2]), [b * c, h, w, 1]);
  const y = along(along(planes, 1), 2);
  return tf.transpose(tf.reshape(y, [b, c, y.shape[1], y.shape[2]]), [0, 2, 3, 1]);
};
