import * as tf from '../tf.ts';

/** Row i averages inputs floor(i n / out) up to ceil((i + 1) n / out): float32 [out, n]. */
const bins = (size: number, out: number): tf.Tensor2D => {
  const matrix = new Float32Array(out * size);
  for (let i = 0; i < out; i++) {
    const [from, to] = [Math.floor((i * size) / out), Math.ceil(((i + 1) * size) / out)];
    matrix.fill(1 / (to - from), i * size + from, i * size + to);
  }
  return tf.tensor2d(matrix, [out, size]);
};

/** `F.adaptive_avg_pool2d` of a map of one channel, float32 [B, H, W, 1] to [B, height, width, 1]. */
export const adaptivePool = (x: tf.Tensor4D, height: number, width: number): tf.Tensor4D => {
  const [b, h, w] = x.shape;
  if (h === height && w === width) return x;
  const wide = tf.reshape(tf.matMul(tf.reshape(x, [b * h, w]), bins(w, width), false, true), [b, h, width]);
  const rows = tf.matMul(tf.reshape(tf.transpose(wide, [0, 2, 1]), [b * width, h]), bins(h, height), false, true);
  return tf.reshape(tf.transpose(tf.reshape(rows, [b, width, height]), [0, 2, 1]), [b, height, width, 1]);
};
