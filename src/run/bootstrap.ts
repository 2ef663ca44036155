import { type Key, fold, integers } from '../random.ts';

/** A mean and its confidence interval. */
export type Interval = Readonly<{ mean: number; low: number; high: number }>;

/** The value below which a share of sorted values lies, linear between neighbours. */
const quantile = (sorted: ArrayLike<number>, share: number): number => {
  const at = share * (sorted.length - 1);
  const below = Math.floor(at);
  const low = sorted[below] as number;
  return low + (at - below) * ((sorted[Math.min(below + 1, sorted.length - 1)] as number) - low);
};

/**
 * Paired bootstrap of the mean of `a - b`: pairs are drawn with replacement, so what is common to both scores of a pair cancels. The interval is that of the
 * percentiles; below about ten pairs it is too narrow.
 * @param a, b scores of the same held-out pairs, in the same order
 * @param options.level share of the resampled means that the interval covers @param options.key draws the resamples; equal keys draw the same pairs
 * @throws RangeError when the lengths differ, there are no pairs, or an option is out of range
 * @source Efron and Tibshirani 1993, "An introduction to the bootstrap", chapter 13
 */
export const pairedBootstrap = (a: readonly number[], b: readonly number[], { key, resamples = 2000, level = 0.95 }: { key: Key; resamples?: number; level?: number }): Interval => {
  if (a.length !== b.length) throw new RangeError(`pairedBootstrap: expected as many scores on both sides but received ${a.length} and ${b.length}`);
  if (a.length === 0) throw new RangeError('pairedBootstrap: expected at least one pair but received none');
  if (!(level > 0 && level < 1)) throw new RangeError(`pairedBootstrap: expected level in (0, 1) but received ${level}`);
  if (!Number.isInteger(resamples) || resamples < 1) throw new RangeError(`pairedBootstrap: expected resamples to be a positive integer but received ${resamples}`);
  const differences = a.map((value, i) => value - (b[i] as number));
  const count = differences.length;
  const means = Float64Array.from({ length: resamples }, (_, round) => {
    let sum = 0;
    for (const i of integers(fold(key, 'bootstrap', round), count, count)) sum += differences[i] as number;
    return sum / count;
  }).sort();
  return { mean: differences.reduce((x, y) => x + y, 0) / count, low: quantile(means, (1 - level) / 2), high: quantile(means, (1 + level) / 2) };
};
