/** Rotary positions over several axes. @source Su et al. 2021, arXiv 2104.09864; diffusers `FluxPosEmbed`, `apply_rotary_emb` */
import * as tf from '../../tf.ts';

/** Cosines and sines per token, float32 [N, D], each value twice in a row. */
export type Rotation = Readonly<{ cos: tf.Tensor2D; sin: tf.Tensor2D }>;

/**
 * The rotation of tokens at given places.
 * @param places float32 [N, axes] @param widths channels of a head that each axis turns, all even; their sum is D
 */
export const rotationOf = (places: tf.Tensor2D, widths: readonly number[], theta = 10_000): Rotation => {
  const total = widths.reduce((a, b) => a + b, 0);
  let offset = 0;
  const rows = widths.map((width) => {
    const row = new Array<number>(total).fill(0);
    for (let j = 0; j < width; j++) row[offset + j] = theta ** (-(j - (j % 2)) / width);
    offset += width;
    return row;
  });
  const angles = tf.matMul(places, tf.tensor2d(rows, [widths.length, total]));
  return { cos: tf.cos(angles) as tf.Tensor2D, sin: tf.sin(angles) as tf.Tensor2D };
};

/** Turns pairs of neighbouring channels of [B, heads, N, D]: (a, b) to (a cos - b sin, b cos + a sin). The pairs change places by a product with a fixed matrix. */
export const rotate = (x: tf.Tensor, rotation: Rotation | undefined): tf.Tensor => {
  if (!rotation) return x;
  const width = x.shape[x.rank - 1] as number;
  const swap = Float32Array.from({ length: width * width }, (_, at) => {
    const [from, to] = [Math.floor(at / width), at % width];
    return from % 2 === 1 && to === from - 1 ? -1 : from % 2 === 0 && to === from + 1 ? 1 : 0;
  });
  const turned = tf.reshape(tf.matMul(tf.reshape(x, [-1, width]) as tf.Tensor2D, tf.tensor2d(swap, [width, width])), x.shape);
  return tf.add(tf.mul(x, rotation.cos), tf.mul(turned, rotation.sin));
};
