/** Losses on the Fourier transform of images. All take float32 [B, H, W, C] and transform each channel, orthonormally. */
import * as tf from '../tf.ts';
import { constantOf } from '../models/tape.ts';
import { spectralMean, spectrumOf } from './spectrum.ts';

/**
 * Mean absolute difference of amplitudes, mean | |F(prediction)| - |F(target)| |. Blind to phase, hence to shifts: not to be used alone.
 * @param options.eps under the root, which has no slope at 0
 * @param options.logarithmic compares ln(1 + amplitude) instead
 */
export const frequencyAmplitude = (prediction: tf.Tensor4D, target: tf.Tensor4D, { eps = 1e-8, logarithmic = false }: { eps?: number; logarithmic?: boolean } = {}): tf.Scalar => {
  const { real, imaginary, multiplicity } = spectrumOf(tf.concat([prediction, target], 0));
  const amplitude = tf.sqrt(tf.add(tf.add(tf.square(real), tf.square(imaginary)), eps));
  const [ours, theirs] = tf.split(logarithmic ? tf.log1p(amplitude) : amplitude, 2, 0) as [tf.Tensor4D, tf.Tensor4D];
  return spectralMean(tf.abs(tf.sub(ours, theirs)), multiplicity, prediction.shape[2]);
};

export type FocalFrequencyOptions = Readonly<{
  /** Exponent of the weight: 0 weighs all frequencies alike. */
  alpha?: number;
  /** Squares per side that the image is cut into first. */
  patches?: number;
  /** Weight by ln(1 + w) instead of w. */
  logarithmic?: boolean;
  /** Take the largest weight over the whole batch instead of over each image's channel. */
  batchWide?: boolean;
  /** Compare the batch's mean spectra. */
  average?: boolean;
}>;

/** [B, H, W, C] to [B * patches^2, H / patches, W / patches, C]. */
const cutUp = (x: tf.Tensor4D, patches: number): tf.Tensor4D => {
  const [b, h, w, c] = x.shape;
  if (patches === 1) return x;
  if (h % patches !== 0 || w % patches !== 0) throw new RangeError(`focalFrequency: expected ${patches} patches a side to divide ${w} x ${h} px`);
  const rows = tf.reshape(x, [b * patches, h / patches, patches, (w / patches) * c]);
  return tf.reshape(tf.transpose(rows, [0, 2, 1, 3]), [b * patches * patches, h / patches, w / patches, c]);
};

/**
 * Focal frequency loss: mean of w |F(p) - F(t)|^2, where w = |F(p) - F(t)|^alpha over its largest value, clamped to [0, 1], a constant.
 * @throws RangeError when `patches` does not divide the sides
 * @source Jiang et al. 2020, arXiv 2012.12821, eq. 8-9, with the normalisation of its code
 */
export const focalFrequency = (prediction: tf.Tensor4D, target: tf.Tensor4D, { alpha = 1, patches = 1, logarithmic = false, batchWide = false, average = false }: FocalFrequencyOptions = {}): tf.Scalar => {
  const difference = tf.sub<tf.Tensor4D>(prediction, target);
  const { real, imaginary, multiplicity } = spectrumOf(cutUp(average ? tf.mean(difference, 0, true) : difference, patches));
  const distance = tf.add(tf.square(real), tf.square(imaginary));
  const weight = constantOf(() => {
    const w = tf.pow(tf.sqrt(distance), alpha);
    const focused = logarithmic ? tf.log1p(w) : w;
    // Where the largest weight is 0, so is every distance.
    return tf.div(focused, tf.maximum(tf.max(focused, batchWide ? undefined : [2, 3], true), 1e-30));
  });
  return spectralMean(tf.mul(distance, weight), multiplicity, prediction.shape[2] / patches);
};
