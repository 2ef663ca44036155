import { boundaryScalings, edmScalings, edmWeight } from '../../schedules/scalings.ts';
import * as tf from '../../tf.ts';
import { squaredError } from './levels.ts';

type Image = tf.Tensor4D;

/** A raw network: input, and what it is told about the noise, float32 [B]. */
export type RawNetwork = (x: Image, cNoise: tf.Tensor1D) => Image;

/**
 * The denoiser around a raw network. @param sigma float32 [B, 1, 1, 1]
 * @param options.boundary the identity at sigmaMin, for consistency models
 * @source Karras et al. 2022, arXiv 2206.00364, eq. 7
 */
export const preconditioned = (network: RawNetwork, x: Image, sigma: Image, { sigmaData = 0.5, boundary = false, sigmaMin = 0.002 }: { sigmaData?: number; boundary?: boolean; sigmaMin?: number } = {}): Image => {
  const { cSkip, cOut, cIn, cNoise } = boundary ? boundaryScalings(sigma, sigmaData, sigmaMin) : edmScalings(sigma, sigmaData);
  return tf.add(tf.mul(cSkip, x), tf.mul(cOut, network(tf.mul(cIn, x), tf.reshape(cNoise, [-1]) as tf.Tensor1D)));
};

/** EDM's loss per image: 1 / cOut^2 times the squared error of the denoised image, [B]. @source arXiv 2206.00364, eq. 2 and table 1 */
export const edmLoss = (denoised: Image, target: Image, sigma: Image, sigmaData = 0.5): tf.Tensor1D => tf.mul(squaredError(denoised, target), tf.reshape(edmWeight(sigma, sigmaData), [-1]));

/**
 * EDM2's loss per element, with a learned log variance per noise level: w / e^u (D - y)^2 + u.
 * @param logvar u, float32 [B, 1, 1, 1] @source Karras et al. 2024, arXiv 2312.02696, eq. 21
 */
export const edm2Loss = (denoised: Image, target: Image, sigma: Image, logvar: Image, sigmaData = 0.5): Image =>
  tf.add(tf.mul(tf.div(edmWeight(sigma, sigmaData), tf.exp(logvar)), tf.squaredDifference(denoised, target)), logvar);
