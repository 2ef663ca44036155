/** Enlarging images, in forms whose gradients are right on every executor. */
import * as tf from '../../tf.ts';
import { upsampleNearest2x } from '../nn.ts';

type Image = tf.Tensor4D;

/** One row per output position, one column per input position: float32 [to, from]. */
const interpolation = (from: number, to: number, weights: (at: number) => readonly (readonly [position: number, weight: number])[]): tf.Tensor2D => {
  const matrix = new Float32Array(to * from);
  for (let i = 0; i < to; i++) for (const [j, weight] of weights(i)) matrix[i * from + j] = (matrix[i * from + j] as number) + weight;
  return tf.tensor2d(matrix, [to, from]);
};

/** Rows and columns by one matrix each: rows [H', H], columns [W', W]. */
const separable = (x: Image, rows: tf.Tensor2D, columns: tf.Tensor2D): Image => {
  const [b, h, w, c] = x.shape;
  const tall = tf.matMul(rows, tf.reshape(tf.transpose(x, [1, 0, 2, 3]), [h, b * w * c]));
  const across = tf.transpose(tf.reshape(tall, [rows.shape[0], b, w, c]), [2, 1, 0, 3]);
  const wide = tf.matMul(columns, tf.reshape(across, [w, b * rows.shape[0] * c]));
  return tf.transpose(tf.reshape(wide, [columns.shape[0], b, rows.shape[0], c]), [1, 2, 0, 3]);
};

/** Nearest-neighbour resizing to any size, as `F.interpolate(mode="nearest")`: input position floor(i * from / to). */
export const resizeNearest = (x: Image, height: number, width: number): Image => {
  const [, h, w] = x.shape;
  if (height === h && width === w) return x;
  if (height === 2 * h && width === 2 * w) return upsampleNearest2x(x);
  const pick = (from: number, to: number): tf.Tensor2D => interpolation(from, to, (i) => [[Math.min(from - 1, Math.floor(i * Math.fround(from / to))), 1]]);
  return separable(x, pick(h, height), pick(w, width));
};

/** Nearest-neighbour enlargement by a whole factor. */
export const upsampleNearest = (x: Image, factor: number): Image => resizeNearest(x, x.shape[1] * factor, x.shape[2] * factor);

/** Bilinear resizing with half-pixel centres, as `F.interpolate(mode="bilinear", align_corners=False)`. */
export const resizeBilinear = (x: Image, height: number, width: number): Image => {
  const blend = (from: number, to: number): tf.Tensor2D => interpolation(from, to, (i) => {
    const at = Math.max(0, (i + 0.5) * (from / to) - 0.5);
    const low = Math.min(from - 1, Math.floor(at));
    return [[low, 1 - (at - low)], [Math.min(from - 1, low + 1), at - low]];
  });
  return separable(x, blend(x.shape[1], height), blend(x.shape[2], width));
};

/** Bilinear enlargement by a whole factor. */
export const upsampleBilinear = (x: Image, factor: number): Image => resizeBilinear(x, x.shape[1] * factor, x.shape[2] * factor);
