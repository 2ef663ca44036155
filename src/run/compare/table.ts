import { duration } from '../progress.ts';
import type { Comparison } from './comparison.ts';
import { meanOf } from '../metrics.ts';

const columns = (rows: readonly (readonly string[])[]): string[] => {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => (row[i] as string).length)));
  return rows.map((row) => `  ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] as number) : cell.padStart(widths[i] as number))).join('  ')}`);
};

/** A comparison as lines to print: every method at every number of sampler steps, and the baselines. */
export const comparisonTable = ({ metrics, entries, baselines, pairs, sameBatches, commonBatches, failures }: Comparison): string[] => {
  const scored = (scores: Comparison['baselines'][number]['scores']): string[] => metrics.map(({ name, digits }) => meanOf(scores, name).toFixed(digits));
  const rows = [
    ['', 'sampler steps', ...metrics.map(({ name, unit }) => (unit === '' ? name : `${name} ${unit}`)), 'ms/image', 'trained steps', 's/step', 'training'],
    ...entries.flatMap(({ label, results, steps, seconds, secondsPerStep }) => results.map((result) =>
      [label, `${result.steps ?? 'its own'}`, ...scored(result.scores), result.msPerImage.toFixed(1), `${steps}`, secondsPerStep.toFixed(3), duration(seconds)])),
    ...baselines.map(({ label, scores }) => [label, '', ...scored(scores), '', '', '', '']),
  ];
  return [
    `${pairs.length} held-out pairs`, ...columns(rows),
    entries.length < 2 ? '' : sameBatches === commonBatches ? `all were trained on the same images in the same order (${commonBatches} batches checked)`
      : `the runs did not see the same images: they part after ${sameBatches} of ${commonBatches} batches`,
    ...failures.map(({ label, why }) => `${label} failed and is left out: ${why}`),
  ].filter((line) => line !== '');
};

/** A comparison as a file for programs: all numbers, with the scores of every pair, and no pictures. Infinite scores are text. */
export const comparisonJson = ({ shown, baselines, entries, ...rest }: Comparison): string => `${JSON.stringify({
  ...rest,
  shown: shown.map(({ id }) => id),
  baselines: baselines.map(({ pictures: _, ...baseline }) => baseline),
  entries: entries.map(({ results, ...entry }) => ({ ...entry, results: results.map(({ pictures: _, ...result }) => result) })),
}, (_, value: unknown) => (typeof value === 'number' && !Number.isFinite(value) ? `${value}` : value), 2)}\n`;
