import * as tf from '../tf.ts';
import { averagePool } from './pool.ts';
import { type SsimOptions, ssimMaps } from './ssim.ts';

const published = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333] as const;

/** Halves both sides; an odd side first gets a row or column of zeros in front, as the source's pooling has it. */
const halved = (x: tf.Tensor4D): tf.Tensor4D => averagePool(tf.pad(x, [[0, 0], [x.shape[1] % 2, 0], [x.shape[2] % 2, 0], [0, 0]]), 2);

/**
 * Multi-scale structural similarity of each image: per channel, the product over scales of relu(contrast)^weight, the last scale with relu(similarity); then
 * the mean over channels.
 * @param prediction, target float32 [B, H, W, C], each side longer than (window - 1) * 2^(scales - 1): 160 px by default
 * @param options as `ssim`; `weights` one exponent per scale, the published five by default
 * @returns float32 [B]
 * @throws RangeError when the images are too small
 * @source Wang et al. 2003, "Multiscale structural similarity for image quality assessment", eq. 7
 */
export const msSsim = (prediction: tf.Tensor4D, target: tf.Tensor4D, { weights = published, ...options }: SsimOptions & { weights?: readonly number[] } = {}): tf.Tensor1D => {
  const [, height, width] = prediction.shape;
  const least = ((options.window ?? 11) - 1) * 2 ** (weights.length - 1);
  if (Math.min(height, width) <= least) throw new RangeError(`msSsim: expected images of more than ${least} px but received ${width} x ${height}`);
  let [x, y] = [prediction, target];
  const factors = weights.map((weight, scale) => {
    if (scale > 0) [x, y] = [halved(x), halved(y)];
    const { similarity, contrast } = ssimMaps(x, y, options);
    return tf.pow(tf.relu(tf.mean(scale === weights.length - 1 ? similarity : contrast, [1, 2])), weight);
  });
  return tf.mean(factors.reduce((product, factor) => tf.mul(product, factor)), 1);
};
