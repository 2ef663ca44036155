/** What every scheduler of diffusers' amounts to here: tables, and for a given number of steps a recipe. */
import * as tf from '../../tf.ts';
import type { VpSchedule } from '../betas.ts';
import type { Recipe } from '../samplers/sampler.ts';

/** Arguments of `set_timesteps` and `step`, under diffusers' names. */
export type RunArguments = Readonly<{
  num_inference_steps?: number | null;
  timesteps?: readonly number[];
  sigmas?: readonly number[];
  mu?: number;
  original_inference_steps?: number;
  strength?: number;
  eta?: number;
  use_clipped_model_output?: boolean;
  s_churn?: number;
  s_tmin?: number;
  s_tmax?: number;
  s_noise?: number;
}>;

/** One sampling run: the state starts as `initNoiseSigma` times unit normal noise. */
export type Run = Readonly<{
  timesteps: readonly number[];
  sigmas?: readonly number[];
  initNoiseSigma: number;
  recipe: Recipe;
  /** Clamp or threshold of the denoised estimate. */
  limit?: (denoised: tf.Tensor4D) => tf.Tensor4D;
}>;

export type Scheduler = Readonly<{
  name: string;
  schedule?: VpSchedule;
  /** The sigmas of the training timesteps, in the order diffusers tabulates them. */
  trainSigmas?: readonly number[];
  /** x = alpha x0 + sigma n at a training timestep. */
  noising: (timestep: number) => Readonly<{ alpha: number; sigma: number }>;
  run: (args: RunArguments) => Run;
}>;

/** Refuses arguments that a scheduler does not take. @throws TypeError naming the first */
export const takeOnly = (name: string, args: RunArguments, known: readonly (keyof RunArguments)[]): void => {
  const strange = Object.entries(args).find(([key, value]) => value !== undefined && value !== null && key !== 'num_inference_steps' && !known.includes(key as keyof RunArguments));
  if (strange) throw new TypeError(`${name}: ${strange[0]} is not an argument of this scheduler`);
};

/** The number of steps, where no explicit list is given. @throws RangeError unless it is a positive integer of at most `most` */
export const stepsOf = (name: string, { num_inference_steps: steps }: RunArguments, most = Infinity): number => {
  if (typeof steps !== 'number' || !Number.isInteger(steps) || steps < 1 || steps > most) throw new RangeError(`${name}: expected num_inference_steps to be an integer in 1..${most} but received ${steps}`);
  return steps;
};

/** Refuses a list that does not fall, or starts at or above `total`. */
export const checkDescending = (name: string, timesteps: readonly number[], total: number): void => {
  const rise = timesteps.findIndex((t, i) => i > 0 && t >= (timesteps[i - 1] as number));
  if (timesteps.length === 0 || rise >= 0 || (timesteps[0] as number) >= total) throw new RangeError(`${name}: expected falling timesteps below ${total} but received [${timesteps.join(', ')}]`);
};

/**
 * Dynamic thresholding: per image, s is a quantile of |x0| (at least 1, at most `max`), and x0 becomes clamp(x0, -s, s) / s.
 * @source Saharia et al. 2022 (Imagen), arXiv 2205.11487, section 2.3
 */
export const threshold = (ratio: number, max: number) => (x: tf.Tensor4D): tf.Tensor4D => {
  const [batch] = x.shape;
  const size = x.size / batch;
  const place = ratio * (size - 1);
  const above = size - Math.floor(place);
  const { values } = tf.topk(tf.reshape(tf.abs(x), [batch, size]), above, true);
  const low = tf.slice(values, [0, above - 1], [-1, 1]);
  const high = above >= 2 ? tf.slice(values, [0, above - 2], [-1, 1]) : low;
  const quantile = tf.add(low, tf.mul(tf.sub(high, low), place - Math.floor(place)));
  const s = tf.reshape(tf.clipByValue(quantile, 1, Math.max(1, max)), [batch, 1, 1, 1]);
  return tf.div(tf.minimum(tf.maximum(x, tf.neg(s)), s), s);
};

type LimitConfig = Readonly<{ thresholding?: boolean; dynamic_thresholding_ratio?: number; sample_max_value?: number; clip_sample?: boolean | null; clip_sample_range?: number }>;

/** The limit a configuration asks for, as an optional field of a run. */
export const limitOf = ({ thresholding, dynamic_thresholding_ratio: ratio = 0.995, sample_max_value: max = 1, clip_sample, clip_sample_range: range = 1 }: LimitConfig): Pick<Run, 'limit'> => {
  if (thresholding) return { limit: threshold(ratio, max) };
  return clip_sample ? { limit: (x) => tf.clipByValue(x, -range, range) } : {};
};
