/** The two-dimensional discrete Fourier transform as two matrix products, so that every executor can differentiate it. */
import * as tf from '../tf.ts';

/** The half of a real image's spectrum that determines the rest; orthonormal. */
export type Spectrum = Readonly<{
  /** float32 [B, C, H, floor(W / 2) + 1] */
  real: tf.Tensor4D;
  imaginary: tf.Tensor4D;
  /** How often each column stands in the whole spectrum, 1 or 2: float32 [floor(W / 2) + 1]; the whole has H * W places. */
  multiplicity: tf.Tensor1D;
}>;

/** Cosines and sines of 2 pi k n / length over sqrt(length), `frequencies` rows each, one under the other: float32 [2 frequencies, length]. */
const waves = (length: number, frequencies: number): tf.Tensor2D => {
  const scale = 1 / Math.sqrt(length);
  const at = (i: number): number => {
    const [k, n] = [Math.floor(i / length), i % length];
    const angle = (2 * Math.PI * ((k % frequencies) * n % length)) / length;
    return scale * (k < frequencies ? Math.cos(angle) : Math.sin(angle));
  };
  return tf.tensor2d(Float32Array.from({ length: 2 * frequencies * length }, (_, i) => at(i)), [2 * frequencies, length]);
};

/** @param x float32 [B, H, W, C]; each channel is transformed on its own */
export const spectrumOf = (x: tf.Tensor4D): Spectrum => {
  const [b, h, w, c] = x.shape;
  const half = Math.floor(w / 2) + 1;
  const rows = tf.reshape(tf.transpose(x, [1, 0, 3, 2]), [h, b * c * w]);
  const tall = tf.reshape(tf.matMul(waves(h, h), rows), [2 * h * b * c, w]);
  const [cosine, sine] = tf.split(tf.reshape(tf.matMul(tall, waves(w, half), false, true), [2, h, b, c, 2 * half]), 2, 0) as [tf.Tensor5D, tf.Tensor5D];
  const [cc, cs] = tf.split(tf.reshape(cosine, [h, b, c, 2 * half]), 2, 3) as [tf.Tensor4D, tf.Tensor4D];
  const [sc, ss] = tf.split(tf.reshape(sine, [h, b, c, 2 * half]), 2, 3) as [tf.Tensor4D, tf.Tensor4D];
  return {
    real: tf.transpose(tf.sub<tf.Tensor4D>(cc, ss), [1, 2, 0, 3]),
    imaginary: tf.transpose(tf.neg(tf.add<tf.Tensor4D>(cs, sc)), [1, 2, 0, 3]),
    multiplicity: tf.tensor1d(Float32Array.from({ length: half }, (_, k) => (k === 0 || 2 * k === w ? 1 : 2))),
  };
};

/** The mean over the whole spectrum of something that is known on its half. @param x float32 [B, C, H, half] @param width of the image */
export const spectralMean = (x: tf.Tensor, multiplicity: tf.Tensor1D, width: number): tf.Scalar =>
  tf.mul(tf.mean(tf.mul(x, multiplicity)), (x.shape.at(-1) as number) / width);
