/** Levels as tensors: what a step's times amount to, one number per image, ready to broadcast over [B, H, W, C]. */
import type { Path } from '../../schedules/paths.ts';
import * as tf from '../../tf.ts';

type Image = tf.Tensor4D;

/** One number per image, float32 [B, 1, 1, 1]. */
export const perImage = (values: ArrayLike<number>): Image => tf.tensor4d(Float32Array.from(values), [values.length, 1, 1, 1]);

/** Where each image of a batch is on its path; all float32 [B, 1, 1, 1] but `t`, float32 [B], which is what the network is told. */
export type LevelTensors = Readonly<{ t: tf.Tensor1D; alpha: Image; sigma: Image }>;

/** The levels of given times. Call inside a tidy. */
export const levelTensors = (path: Path, times: ArrayLike<number>): LevelTensors => {
  const levels = Array.from(times, path.level);
  return { t: tf.tensor1d(Float32Array.from(times)), alpha: perImage(levels.map(({ alpha }) => alpha)), sigma: perImage(levels.map(({ sigma }) => sigma)) };
};

/** x = alpha x0 + sigma n. */
export const diffuse = (x0: Image, noise: Image, { alpha, sigma }: Pick<LevelTensors, 'alpha' | 'sigma'>): Image => tf.add(tf.mul(x0, alpha), tf.mul(noise, sigma));

/** Mean over all but the first axis: float32 [B]. */
export const perImageMean = (x: tf.Tensor): tf.Tensor1D => tf.mean(tf.reshape(x, [x.shape[0] as number, -1]), 1) as tf.Tensor1D;

/** Squared error per image, [B]. */
export const squaredError = (prediction: Image, target: Image): tf.Tensor1D => perImageMean(tf.squaredDifference(prediction, target));

/** Absolute error per image, [B]. */
export const absoluteError = (prediction: Image, target: Image): tf.Tensor1D => perImageMean(tf.abs(tf.sub(prediction, target)));

/** sqrt((a - b)^2 + c^2) - c, element by element, then the mean per image, [B]. @source Song and Dhariwal 2023, arXiv 2310.14189; LCM's form with c = 0.001 */
export const pseudoHuber = (prediction: Image, target: Image, c = 0.001): tf.Tensor1D => perImageMean(tf.sub(tf.sqrt(tf.add(tf.squaredDifference(prediction, target), c ** 2)), c));

/**
 * (sqrt(||a - b||^2 + c^2) - c) / d per image, with the norm over all d elements and c = share * d.
 * @source Lee et al. 2024 (2-rectified flow++), arXiv 2405.20320, section 4.2
 */
export const normHuber = (prediction: Image, target: Image, share = 0.00054): tf.Tensor1D => {
  const size = prediction.size / prediction.shape[0];
  const c = share * size;
  return tf.div(tf.sub(tf.sqrt(tf.add(tf.mul(squaredError(prediction, target), size), c ** 2)), c), size);
};

/** Mean over the batch of weight times error, both [B]; the weights are not normalised. */
export const weightedMean = (error: tf.Tensor1D, weights?: tf.Tensor1D): tf.Scalar => tf.mean(weights ? tf.mul(error, weights) : error) as tf.Scalar;
