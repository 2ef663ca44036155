import * as tf from '../tf.ts';
import { type Key, fold, normal, uniform } from '../random.ts';

type Image = tf.Tensor4D;

/** One colour change an image: matrices float32 [B, 3, 3] on values in [0, 1], and how much of the changed image is mixed in, per channel [B, 1, 1, 3]; 0 leaves an image alone. */
export type ColourShift = Readonly<{ matrices: tf.Tensor3D; mix: Image }>;

/**
 * Draws TAESD's colour changes: S = 0.5 + n (n unit normal, 3 x 3) and a mix b per channel, uniform in [0, 1), for a share of the images; the rest stay as they are.
 * @throws RangeError when `share` is no probability
 * @source madebyollin/taesd, the author's description of its training
 */
export const drawColourShift = (key: Key, batch: number, { share = 0.1 }: { share?: number } = {}): ColourShift => {
  if (!(share >= 0 && share <= 1)) throw new RangeError(`drawColourShift: expected share to be a probability but received ${share}`);
  const chosen = uniform(fold(key, 'chosen'), batch);
  return {
    matrices: tf.tensor3d(normal(fold(key, 'matrix'), 9 * batch).map((n) => 0.5 + n), [batch, 3, 3]),
    mix: tf.tensor4d(uniform(fold(key, 'mix'), 3 * batch).map((b, i) => ((chosen[Math.floor(i / 3)] as number) < share ? b : 0)), [batch, 1, 1, 3]),
  };
};

/** x' = b clamp(S x, 0, 1) + (1 - b) x, on values in [0, 1]. @param x float32 [B, H, W, 3] in [-1, 1] @returns the same */
export const shiftColour = (x: Image, { matrices, mix }: ColourShift): Image => {
  const [b, h, w] = x.shape;
  const unit = tf.div<Image>(tf.add(x, 1), 2);
  const changed = tf.clipByValue(tf.reshape(tf.matMul(tf.reshape(unit, [b, h * w, 3]), matrices, false, true), [b, h, w, 3]), 0, 1);
  return tf.sub(tf.mul(tf.add(unit, tf.mul(mix, tf.sub(changed, unit))), 2), 1);
};
