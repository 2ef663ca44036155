import * as tf from '../tf.ts';

/**
 * Average pooling over k x k squares, stride k, as reshapes and a mean, so that it can be differentiated twice. Rows and columns beyond the last whole square
 * are left out.
 * @param x float32 [B, H, W, C]
 * @returns float32 [B, floor(H / k), floor(W / k), C]
 */
export const averagePool = (x: tf.Tensor4D, k: number): tf.Tensor4D => {
  const [b, h, w, c] = x.shape;
  const [rows, columns] = [Math.floor(h / k), Math.floor(w / k)];
  if (rows < 1 || columns < 1) throw new RangeError(`averagePool: expected images of at least ${k} px but received ${w} x ${h}`);
  const whole = rows * k === h && columns * k === w ? x : tf.slice(x, [0, 0, 0, 0], [b, rows * k, columns * k, c]);
  const tall = tf.mean(tf.reshape(whole, [b * rows, k, columns * k * c]), 1);
  return tf.reshape(tf.mean(tf.reshape(tall, [b * rows * columns, k, c]), 1), [b, rows, columns, c]);
};
