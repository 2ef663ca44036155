/** Who is better than whom, and whether that is more than chance. */
import { fold, seeded } from '../../random.ts';
import { type Interval, pairedBootstrap } from '../bootstrap.ts';
import type { Comparison, Entry } from './comparison.ts';
import { type ImageScores, type Metric, meanOf } from '../metrics.ts';

/** Something with scores on all held-out pairs: a method at one number of sampler steps, or a baseline. */
export type Contender = Readonly<{ label: string; steps: string; scores: readonly ImageScores[] }>;

type Ordered = Pick<Metric, 'name' | 'isHigherBetter'>;

/** Whether a score is the better one; a score that is no number is never. */
export const isBetter = ({ isHigherBetter }: Pick<Metric, 'isHigherBetter'>, a: number, b: number): boolean => (isHigherBetter ? a > b : a < b) || (Number.isNaN(b) && !Number.isNaN(a));

/** The result of an entry at the number of steps with the best mean. */
export const bestResult = ({ results }: Pick<Entry, 'results'>, metric: Ordered): Entry['results'][number] | undefined =>
  results.reduce<Entry['results'][number] | undefined>((best, result) => (best === undefined || isBetter(metric, meanOf(result.scores, metric.name), meanOf(best.scores, metric.name)) ? result : best), undefined);

/** Every entry at its best number of steps by a metric, the best entry first; then the baselines. */
export const contenders = ({ entries, baselines }: Pick<Comparison, 'entries' | 'baselines'>, metric: Ordered): Contender[] => [
  ...entries.flatMap((entry): Contender[] => {
    const best = bestResult(entry, metric);
    return best ? [{ label: entry.label, steps: best.steps === undefined ? 'own steps' : `${best.steps} step${best.steps === 1 ? '' : 's'}`, scores: best.scores }] : [];
  }).sort((a, b) => (isBetter(metric, meanOf(a.scores, metric.name), meanOf(b.scores, metric.name)) ? -1 : 1)),
  ...baselines.map(({ label, scores }) => ({ label, steps: '', scores })),
];

/** Mean of `a - b` with its 95 % interval over held-out pairs; undefined where a score is no finite number. */
export const difference = (a: readonly ImageScores[], b: readonly ImageScores[], name: string, seed: number): Interval | undefined => {
  const [x, y] = [a, b].map((scores) => scores.map((score) => score[name] as number)) as [number[], number[]];
  return [...x, ...y].every(Number.isFinite) ? pairedBootstrap(x, y, { key: fold(seeded(seed), 'difference') }) : undefined;
};

/** What an interval says: better, worse, or nothing, since it holds 0. */
export const verdictOf = ({ isHigherBetter }: Pick<Metric, 'isHigherBetter'>, { low, high }: Interval): 'better' | 'worse' | 'open' => {
  if (low <= 0 && high >= 0) return 'open';
  return low > 0 === isHigherBetter ? 'better' : 'worse';
};
