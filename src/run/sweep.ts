/** What a trained model gains from more sampler steps: part of the last validation of a run. */
import { scoreSteps, stepsTaken } from './evaluate.ts';
import { spread } from './heldOut.ts';
import { meanOf, metricsFor } from './metrics.ts';
import type { Translate } from './method.ts';
import type { Scores } from './observed.ts';
import { type HeldOut, heldOutKey } from './validation.ts';

/** Scores at one number of network calls per image. */
export type StepScores = Scores & Readonly<{
  steps: number;
  /** Milliseconds to make one image, in batches, without decoding or scoring it. */
  msPerImage: number;
}>;

export type Sweep = Readonly<{
  bySteps: readonly StepScores[];
  /** Held-out pairs that were scored. */
  images: number;
  /** Numbers that the model does not take. */
  refused: readonly Readonly<{ steps: number; why: string }>[];
}>;

/** Pairs that are scored at most: enough to tell the numbers apart, since all see the same ones. */
const sweepPairs = 8;

/**
 * Scores a model at several numbers of sampler steps, on `sweepPairs` held-out pairs at most, evenly spread. Noise depends on the pair alone, as in the validation.
 * @param options.sweep the numbers @param options.batch images at a time
 * @returns undefined where there is nothing to compare: no pairs, or a model that has one way only or takes no two of the numbers
 */
export const sweepSteps = async (heldOut: HeldOut, translate: Translate, { sweep, batch, seed }: { sweep: readonly number[]; batch: number; seed: number }): Promise<Sweep | undefined> => {
  if (sweep.length < 2) return undefined;
  const pairs = await heldOut.pairs();
  if (pairs.length === 0) return undefined;
  const { taken, asks, refused } = stepsTaken(translate, sweep, heldOut.height);
  if (!asks || taken.length < 2) return undefined;
  const places = spread(pairs.map((_, place) => place), sweepPairs);
  const trial = { pairs: spread(pairs, sweepPairs), size: heldOut.height, metrics: metricsFor(heldOut.height).filter(({ name }) => name === 'PSNR' || name === 'SSIM'), batch, shown: [] };
  const results = await scoreSteps(translate, trial, taken, (place) => heldOutKey(seed, places[place] as number));
  return {
    bySteps: results.map(({ steps, scores, msPerImage }) => ({ steps, psnr: meanOf(scores, 'PSNR'), ssim: meanOf(scores, 'SSIM'), msPerImage: Number(msPerImage.toFixed(3)) })),
    images: places.length,
    refused,
  };
};

/** The sweep as lines to print. */
export const sweepTable = ({ bySteps, images, refused }: Sweep): string => [
  `  sampler steps${'PSNR'.padStart(13)}${'SSIM'.padStart(10)}  ms/image   (${images} held-out images)`,
  ...bySteps.map(({ steps, psnr, ssim, msPerImage }) => `  ${`${steps}`.padEnd(16)}${psnr.toFixed(2).padStart(7)} dB${ssim.toFixed(4).padStart(10)}${msPerImage.toFixed(1).padStart(10)}`),
  ...refused.map(({ steps, why }) => `  ${`${steps}`.padEnd(16)} not taken: ${why}`),
].join('\n');
