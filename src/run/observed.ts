/** What the plain-number stretch of a pipeline adds to a settled step, so that its operators cannot be put in an order that would lose something. */

import { writeFileAtomic } from './atomic.ts';
import type { ReportSink } from './method.ts';

/** Mean PSNR in dB and SSIM over the held-out pairs. */
export type Scores = Readonly<{ psnr: number; ssim: number }>;

/** A step that `validate` has seen: its scores, when it was due. */
export type Scored = Readonly<{ scores: Scores | undefined }>;

/** A step that `report` has seen: what a checkpoint vouches for is in the logs. */
export type Logged = Readonly<{ logged: boolean }>;

/** Replaces a file that a run can do without: when it cannot be written, that is told, and training goes on. */
export const writeOrTell = async ({ line }: Pick<ReportSink, 'line'>, path: string, data: string | Uint8Array): Promise<void> => {
  try {
    await writeFileAtomic(path, data);
  } catch (cause) {
    line(`${path}: cannot be written: ${(cause as Error).message}`);
  }
};

/** Steps between two pieces of work. @throws RangeError when `every` is not a positive integer */
export const checkEvery = (operator: string, every: number): void => {
  if (!Number.isInteger(every) || every < 1) throw new RangeError(`${operator}: expected every to be a positive integer but received ${every}`);
};

/** Whether work of every `every` steps is due after step `step` (from 0) of `steps`: on the interval, and at the end. */
export const isDue = (step: number, every: number, steps: number): boolean => (step + 1) % every === 0 || step + 1 === steps;
