/** The end of a run: `summary.json`, and the same as a table to print. It is made from what lies in the run folder, so a resumed run counts as one. */
import { readFile } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { CheckpointError } from '../errors.ts';
import { follow, writeFileAtomic } from './atomic.ts';
import { listCheckpoints } from './checkpoint.ts';
import type { Scores } from './observed.ts';
import { duration } from './progress.ts';
import type { Timing } from './reporter.ts';
import { type RunFolder, json } from './runFolder.ts';
import { readLog } from './runLog.ts';
import type { StepScores } from './sweep.ts';
import type { Validation } from './validation.ts';

/** The contents of `summary.json`. */
export type Summary = Readonly<{
  method: string;
  engine: string;
  /** Completed steps. */
  steps: number;
  /** Seconds of training, from the first batch drawn to the last step, pauses left out. */
  seconds: number;
  imagesPerSecond: number;
  /** Share of the time in which the engine had work, in 0..1; of the last session where the run was resumed. */
  engineBusy: number;
  /** Batches that existed at the same time, at most. */
  maxInFlight: number;
  /** What the run waited for most: decode, augment, upload, engine or disk. */
  bottleneck: string;
  /** Most memory that the process held and, of that, most that tensors held at once, in bytes; of the session that held most. */
  peakMemory: Readonly<{ process: number; tensors: number }>;
  seed: number;
  /** Over the held-out pairs; null when there are none. Copying the source is null for methods that reconstruct; `bySteps` is of models that take several sampler steps. */
  val: (Scores & Readonly<{ copySource: Scores | null; meanTarget: Scores; bySteps?: readonly StepScores[] }>) | null;
  /** Image files that could not be used. */
  skippedFiles: number;
  /** The best checkpoint by PSNR, relative to the run folder; null when none was validated. */
  bestCheckpoint: string | null;
}>;

const rounded = (value: number, digits: number): number => Number(value.toFixed(digits));

/** Reads what a run left behind and writes `summary.json`. */
export const writeSummary = (run: RunFolder, { engine, seed, skippedFiles }: { engine: string; seed: number; skippedFiles: number }): TE.TaskEither<CheckpointError, Summary> => TE.tryCatch(async () => {
  const timings = await readLog(run.timing.path) as readonly Partial<Timing>[];
  const timing = timings.at(-1) as Timing | undefined;
  const most = (key: 'peakBytes' | 'peakTensorBytes'): number => timings.reduce((peak, { [key]: bytes = 0 }) => Math.max(peak, bytes), 0);
  const validation = await readFile(join(run.path, 'validation.json'), 'utf8').then((text) => JSON.parse(text) as Validation, () => undefined);
  const best = await follow(join(run.checkpoints, 'best'));
  const hasBest = (await listCheckpoints(run.checkpoints)).some(({ path }) => path === best);
  const summary: Summary = {
    method: run.method,
    engine,
    steps: timing ? timing.step + 1 : 0,
    seconds: rounded(timing?.seconds ?? 0, 3),
    imagesPerSecond: timing && timing.seconds > 0 ? rounded(timing.images / timing.seconds, 3) : 0,
    engineBusy: rounded(timing?.engineBusy ?? 0, 4),
    maxInFlight: timing?.maxInFlight ?? 0,
    bottleneck: timing?.bottleneck ?? 'none',
    peakMemory: { process: most('peakBytes'), tensors: most('peakTensorBytes') },
    seed,
    val: validation ? { psnr: validation.psnr, ssim: validation.ssim, copySource: validation.copySource, meanTarget: validation.meanTarget, ...(validation.bySteps && { bySteps: validation.bySteps }) } : null,
    skippedFiles,
    bestCheckpoint: hasBest ? join('checkpoints', basename(best)) : null,
  };
  await writeFileAtomic(join(run.path, 'summary.json'), json(summary));
  return summary;
}, (cause) => new CheckpointError(run.path, `${run.path}: the summary cannot be written: ${(cause as Error).message}`, cause));

const score = (value: number, digits: number): string => (Number.isFinite(value) ? value.toFixed(digits) : `${value}`);

/** The summary as lines to print: what was reached beside the baselines, how fast, and where everything lies. @param cwd paths are shown relative to it */
export const summaryTable = (summary: Summary, run: RunFolder, cwd = process.cwd()): string => {
  const { val } = summary;
  const rows = val === null ? [] : [['result', val] as const, ...(val.copySource ? [['copy the source', val.copySource] as const] : []), [val.copySource ? 'mean target' : 'mean image', val.meanTarget] as const];
  const table = rows.map(([name, { psnr, ssim }]) => `  ${name.padEnd(16)}${score(psnr, 2).padStart(7)} dB${score(ssim, 4).padStart(10)}`);
  const shown = (path: string): string => { const near = relative(cwd, path); return near.startsWith('..') ? path : near; };
  const gain = val?.copySource ? [`  ${score(val.psnr - val.copySource.psnr, 2)} dB above copy-the-source`] : [];
  return [
    `${summary.method}: ${summary.steps} steps in ${duration(summary.seconds)}, ${summary.imagesPerSecond.toFixed(1)} images/s, engine ${summary.engine} ${Math.round(summary.engineBusy * 100)}% busy${
      summary.bottleneck === 'engine' || summary.bottleneck === 'none' ? '' : ` (waited for ${summary.bottleneck})`}${summary.peakMemory.process > 0 ? `, ${(summary.peakMemory.process / 2 ** 30).toFixed(1)} GiB of memory at most` : ''}${summary.skippedFiles > 0 ? `, ${summary.skippedFiles} files skipped` : ''}`,
    ...(val === null ? ['no held-out pairs to validate on'] : [`  ${(val.copySource ? 'held-out pairs' : 'held-out images').padEnd(16)}${'PSNR'.padStart(10)}${'SSIM'.padStart(10)}`, ...table, ...gain]),
    `summary      ${shown(join(run.path, 'summary.json'))}`,
    `samples      ${shown(join(run.samples, 'latest.png'))}`,
    `checkpoints  ${shown(run.checkpoints)}${summary.bestCheckpoint ? ` (best: ${basename(summary.bestCheckpoint)})` : ''}`,
  ].join('\n');
};
