import * as tf from '../tf.ts';

/**
 * Peak signal-to-noise ratio of each image, 10 log10(range^2 / mse), in dB. Nothing is clamped or rounded here; equal images give infinity.
 * @param prediction, target float32 [B, H, W, C]
 * @param options.range largest minus smallest possible value; 2 for images in [-1, 1]
 * @returns float32 [B]; average these, not the errors
 */
export const psnr = (prediction: tf.Tensor4D, target: tf.Tensor4D, { range = 2 }: { range?: number } = {}): tf.Tensor1D => {
  if (!(range > 0)) throw new RangeError(`psnr: expected range to be positive but received ${range}`);
  const error = tf.mean(tf.square(tf.sub(prediction, target)), [1, 2, 3]);
  return tf.mul(tf.log(tf.div(error, range * range)), -10 / Math.LN10) as tf.Tensor1D;
};
