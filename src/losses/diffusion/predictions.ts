/**
 * What a diffusion network may predict, and how one prediction becomes another. x = alpha x0 + sigma n; v = alpha n - sigma x0; flow u = n - x0.
 * v is as defined here for alpha^2 + sigma^2 = 1 (variance preserving), u for alpha + sigma = 1.
 * @source Salimans and Ho 2022, arXiv 2202.00512, appendix D; Esser et al. 2024, arXiv 2403.03206, section 2
 */
import type { Prediction } from '../../schedules/paths.ts';
import * as tf from '../../tf.ts';
import type { LevelTensors } from './levels.ts';

type Image = tf.Tensor4D;
type Level = Pick<LevelTensors, 'alpha' | 'sigma'>;

/** What the network should have said. */
export const targetOf = (prediction: Prediction, x0: Image, noise: Image, { alpha, sigma }: Level): Image => {
  switch (prediction) {
    case 'sample': return x0;
    case 'epsilon': return noise;
    case 'v_prediction': return tf.sub(tf.mul(noise, alpha), tf.mul(x0, sigma));
    case 'flow': return tf.sub(noise, x0);
  }
};

/** The clean image a network's output stands for. Undefined for `epsilon` where alpha is 0. */
export const toX0 = (prediction: Prediction, output: Image, x: Image, { alpha, sigma }: Level): Image => {
  switch (prediction) {
    case 'sample': return output;
    case 'epsilon': return tf.div(tf.sub(x, tf.mul(output, sigma)), alpha);
    case 'v_prediction': return tf.sub(tf.mul(x, alpha), tf.mul(output, sigma));
    case 'flow': return tf.sub(x, tf.mul(output, sigma));
  }
};

/** The noise a network's output stands for. Undefined for `sample` where sigma is 0. */
export const toNoise = (prediction: Prediction, output: Image, x: Image, { alpha, sigma }: Level): Image => {
  switch (prediction) {
    case 'sample': return tf.div(tf.sub(x, tf.mul(output, alpha)), sigma);
    case 'epsilon': return output;
    case 'v_prediction': return tf.add(tf.mul(output, alpha), tf.mul(x, sigma));
    case 'flow': return tf.add(x, tf.mul(output, alpha));
  }
};

/** One prediction in terms of another. */
export const convert = (from: Prediction, to: Prediction, output: Image, x: Image, level: Level): Image => {
  if (from === to) return output;
  if (to === 'sample') return toX0(from, output, x, level);
  if (to === 'epsilon') return toNoise(from, output, x, level);
  return targetOf(to, toX0(from, output, x, level), toNoise(from, output, x, level), level);
};
