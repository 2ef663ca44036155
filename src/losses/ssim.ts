import { constantOf } from '../models/tape.ts';
import * as tf from '../tf.ts';
import { filtered, gaussianWindow, uniformWindow } from './window.ts';

export type SsimOptions = Readonly<{
  /** Largest minus smallest possible value; 2 for images in [-1, 1]. */
  range?: number;
  /** Side of the window in pixels, odd; 11. */
  window?: number;
  /** Standard deviation of the Gaussian window in pixels; 1.5. Ignored by the uniform window. */
  sigma?: number;
  kind?: 'gaussian' | 'uniform';
  /** `sample` multiplies variances by n / (n - 1), n the pixels of the window; `population` is the default. */
  covariance?: 'population' | 'sample';
  /** What happens at the image's border (see `filtered`); `valid`. */
  borders?: 'valid' | 'symmetric';
  /** The constants of luminance and contrast terms. */
  k1?: number;
  k2?: number;
}>;

const checked = ({ range = 2, window = 11, sigma = 1.5, kind = 'gaussian', covariance = 'population', borders = 'valid', k1 = 0.01, k2 = 0.03 }: SsimOptions): Required<SsimOptions> => {
  if (!(range > 0)) throw new RangeError(`ssim: expected range to be positive but received ${range}`);
  if (!Number.isInteger(window) || window < 1 || window % 2 === 0) throw new RangeError(`ssim: expected window to be an odd number of pixels but received ${window}`);
  if (!(sigma > 0)) throw new RangeError(`ssim: expected sigma to be positive but received ${sigma}`);
  return { range, window, sigma, kind, covariance, borders, k1, k2 };
};

const warned = new Set<string>();
const warnSmall = (height: number, width: number, window: number): void => {
  const message = `ssim: images of ${width} x ${height} px are smaller than the ${window}-px window, along such a side nothing is averaged; give a smaller window`;
  if (warned.has(message)) return;
  warned.add(message);
  process.emitWarning(message);
};

/**
 * The maps of structural similarity and of its contrast-structure factor, per channel.
 * @param x, y float32 [B, H, W, C]
 * @returns float32 [B, H', W', C] each; H' = H - window + 1 under `valid` borders
 */
export const ssimMaps = (x: tf.Tensor4D, y: tf.Tensor4D, options: SsimOptions = {}): Readonly<{ similarity: tf.Tensor4D; contrast: tf.Tensor4D }> => {
  const { range, window, sigma, kind, covariance, borders, k1, k2 } = checked(options);
  const [, height, width] = x.shape;
  if (Math.min(height, width) < window) warnSmall(height, width, window);
  const weights = kind === 'gaussian' ? gaussianWindow(window, sigma) : uniformWindow(window);
  const c1 = (k1 * range) ** 2;
  const c2 = (k2 * range) ** 2;
  // Variances as differences of moments keep their digits only around a nearby centre.
  const centre = constantOf(() => tf.mul(tf.mean(tf.add(x, y), [1, 2], true), 0.5));
  const [u, v] = [tf.sub<tf.Tensor4D>(x, centre), tf.sub<tf.Tensor4D>(y, centre)];
  const means = filtered(tf.concat([u, v, tf.square(u), tf.square(v), tf.mul(u, v)], 0), weights, borders);
  const [mu, mv, muu, mvv, muv] = tf.split(means, 5, 0) as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D, tf.Tensor4D, tf.Tensor4D];
  const [mx, my] = [tf.add(mu, centre), tf.add(mv, centre)];
  const correction = covariance === 'sample' ? window ** 2 / (window ** 2 - 1) : 1;
  const varianceSum = tf.mul(tf.sub(tf.add(muu, mvv), tf.add(tf.square(mu), tf.square(mv))), correction);
  const cross = tf.mul(tf.sub(muv, tf.mul(mu, mv)), correction);
  const contrast = tf.div(tf.add(tf.mul(cross, 2), c2), tf.add(varianceSum, c2)) as tf.Tensor4D;
  const luminance = tf.div(tf.add(tf.mul(tf.mul(mx, my), 2), c1), tf.add(tf.add(tf.square(mx), tf.square(my)), c1));
  return { similarity: tf.mul(luminance, contrast) as tf.Tensor4D, contrast };
};

/**
 * Structural similarity of each image: the mean of its map over space and channels. As a loss, use 1 - ssim. A side shorter than the window is not
 * averaged along, and a process warning says so.
 * @param prediction, target float32 [B, H, W, C]
 * @returns float32 [B], at most 1
 * @throws RangeError when an option is out of range
 * @source Wang et al. 2004, "Image quality assessment", eq. 13
 */
export const ssim = (prediction: tf.Tensor4D, target: tf.Tensor4D, options: SsimOptions = {}): tf.Tensor1D =>
  tf.mean(ssimMaps(prediction, target, options).similarity, [1, 2, 3]);
