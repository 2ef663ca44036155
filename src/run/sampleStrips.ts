/** What `sample` does when it is due: draws a strip of fixed held-out pairs and writes it. */
import { join } from 'node:path';
import type { RunContext, Translate } from './method.ts';
import { writeOrTell } from './observed.ts';
import { renderStrip } from './strip.ts';
import { type HeldOut, heldOutKey, translateImages } from './validation.ts';

/** Eight digits, so that files sort by step. */
const stripName = (step: number): string => `step-${`${step}`.padStart(8, '0')}.png`;

/**
 * Makes a function that draws the strip after a step: `samples/step-<completed steps>.png` and `samples/latest.png`. Nothing is drawn when there are no pairs.
 * @param options.count rows of a strip: the first held-out pairs
 * @returns given the step, the path of its strip
 */
export const sampleStrips = (run: Pick<RunContext, 'folder' | 'seed' | 'steps' | 'report'>, heldOut: HeldOut, translate: Translate, { count }: { count: number }): ((step: number) => Promise<string | undefined>) => async (step) => {
  const size = [heldOut.height, heldOut.width] as const;
  const pairs = await Promise.all((await heldOut.pairs()).slice(0, count).map((load) => load()));
  if (pairs.length === 0) return undefined;
  const outputs = await translateImages(translate, pairs.map(({ source }) => source), size, { keys: pairs.map((_, i) => heldOutKey(run.seed, i)), batch: pairs.length });
  const strip = await renderStrip(pairs.map(({ source, target }, i) => ({ source, target, output: outputs[i] as Float32Array })), size, `step ${step + 1} of ${run.steps}, averaged weights`);
  for (const name of [stripName(step + 1), 'latest.png']) await writeOrTell(run.report, join(run.folder.samples, name), strip);
  return join(run.folder.samples, stripName(step + 1));
};
