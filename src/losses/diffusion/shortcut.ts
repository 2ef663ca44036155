/**
 * Shortcut models: the network is told the step size too, and learns that one step of size d is two of size d / 2. Here t = 1 is noise; the paper runs
 * the other way (its t is 1 - t, its velocity the negative). The size is given as dtBase = log2(1 / d): 0 is one step for all, log2 M the finest.
 * @source Frans et al. 2024, arXiv 2410.12557; kvfrans/shortcut-models, targets_shortcut.py
 */
import * as tf from '../../tf.ts';
import { perImage } from './levels.ts';

type Image = tf.Tensor4D;

/** @param t, dtBase one number per image @returns the velocity dz/dt */
export type ShortcutNetwork = (x: Image, t: readonly number[], dtBase: readonly number[], labels: readonly number[]) => Image;

/** The smallest noise left at the clean end. */
const keptNoise = 1e-5;

/** z = (1 - t) target + (t + 1e-5 (1 - t)) noise, and its velocity. @source arXiv 2410.12557, eq. 1 */
export const shortcutPoint = (target: Image, noise: Image, t: Image): Readonly<{ z: Image; velocity: Image }> => ({
  z: tf.add(tf.mul(target, tf.sub(1, t)), tf.mul(noise, tf.sub(1, tf.mul(tf.sub(1, t), 1 - keptNoise)))),
  velocity: tf.sub(tf.mul(noise, 1 - keptNoise), target),
});

/** Step sizes of the rows that learn from two half steps: every size from the second finest to one for all, equally often, the remainder at one for all. */
export type StepSizes = Readonly<{ dtBase: number[]; /** How many leading rows are guided: those whose half steps are the finest. */ guided: number }>;

/**
 * @param rows number of such rows @param steps M, a power of two
 * @param options.bias 1 gives half of the rows to the two largest sizes
 * @throws RangeError when `steps` is not a power of two
 */
export const shortcutSizes = (rows: number, steps: number, { bias = 0 }: { bias?: 0 | 1 } = {}): StepSizes => {
  const levels = Math.log2(steps);
  if (!Number.isInteger(levels) || levels < 1) throw new RangeError(`shortcutSizes: expected steps to be a power of two above 1 but received ${steps}`);
  const each = Math.floor((bias === 0 ? rows : Math.floor(rows / 2)) / levels);
  const even = Array.from({ length: bias === 0 ? levels : Math.max(0, levels - 2) }, (_, i) => new Array<number>(each).fill(levels - 1 - i)).flat();
  const large = bias === 0 ? [] : [...new Array<number>(Math.floor(rows / 4)).fill(1), ...new Array<number>(Math.floor(rows / 4)).fill(0)];
  const dtBase = [...even, ...large];
  return { dtBase: [...dtBase, ...new Array<number>(Math.max(0, rows - dtBase.length)).fill(0)], guided: each };
};

/** A time for each size, a multiple of it counted from the noise end: t = 1 - j d, j in 0..1/d-1. @param draws uniform in [0, 1) */
export const shortcutTimes = (draws: ArrayLike<number>, dtBase: readonly number[]): number[] => dtBase.map((base, i) => 1 - Math.floor((draws[i] as number) * 2 ** base) / 2 ** base);

/**
 * The self-consistency target: the mean of two half steps by the network of averaged weights, without gradient.
 * @param options.limit states and targets are clipped to +-limit; 4 suits unit-variance latents, about twice the data's range pixels
 * @param options.guidance classifier-free guidance of the first `guided` rows, with the label that means none
 */
export const shortcutTarget = (network: ShortcutNetwork, x: Image, t: readonly number[], dtBase: readonly number[], labels: readonly number[], { limit = 4, guidance }: {
  limit?: number; guidance?: Readonly<{ scale: number; guided: number; none: number }>;
} = {}): Image => {
  const finer = dtBase.map((base) => base + 1);
  const half = dtBase.map((base) => 2 ** -base / 2);
  const ask = (state: Image, times: readonly number[]): Image => {
    const conditional = network(state, times, finer, labels);
    if (!guidance || guidance.guided === 0) return conditional;
    const { scale, guided, none } = guidance;
    const first = (image: Image): Image => tf.slice4d(image, [0, 0, 0, 0], [guided, -1, -1, -1]);
    const free = network(first(state), times.slice(0, guided), finer.slice(0, guided), new Array<number>(guided).fill(none));
    const steered = tf.add<Image>(free, tf.mul(tf.sub(first(conditional), free), scale));
    return guided === t.length ? steered : tf.concat([steered, tf.slice4d(conditional, [guided, 0, 0, 0], [-1, -1, -1, -1])], 0);
  };
  const v1 = ask(x, t);
  const moved = tf.clipByValue(tf.sub(x, tf.mul(v1, perImage(half))), -limit, limit) as Image;
  const v2 = ask(moved, t.map((time, i) => time - (half[i] as number)));
  return tf.clipByValue(tf.div(tf.add(v1, v2), 2), -limit, limit) as Image;
};
