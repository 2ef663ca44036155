/** What `validate` does when it is due: scores the model, at the end also by its sampler steps, writes `validation.json`, and says how it went. */
import { join } from 'node:path';
import type { RunContext, Translate } from './method.ts';
import { type Scores, writeOrTell } from './observed.ts';
import { json } from './runFolder.ts';
import { sweepSteps, sweepTable } from './sweep.ts';
import { type HeldOut, type Validation, scoreBaselines, scoreModel } from './validation.ts';

/**
 * Makes a function that scores the model after a step. Baselines are computed once, the first time.
 * @param options.batch images at a time @param options.sweep numbers of sampler steps that the model is also scored at after the last step, where it takes them
 * @returns given the step, its scores; undefined when there are no held-out pairs, which is told at the last step
 */
export const validator = (run: Pick<RunContext, 'folder' | 'seed' | 'steps' | 'report'>, heldOut: HeldOut, translate: Translate, { batch, sweep = [] }: { batch: number; sweep?: readonly number[] }): ((step: number) => Promise<Scores | undefined>) => {
  let baselines: Awaited<ReturnType<typeof scoreBaselines>> | undefined;
  return async (step) => {
    const scored = await scoreModel(heldOut, translate, { batch, seed: run.seed });
    if (scored === undefined) {
      if (step + 1 === run.steps) run.report.line('there are no held-out pairs: nothing was validated');
      return undefined;
    }
    const { scores, images } = scored;
    baselines ??= await scoreBaselines(heldOut, batch);
    const { copySource, meanTarget } = baselines;
    const swept = step + 1 === run.steps ? await sweepSteps(heldOut, translate, { sweep, batch, seed: run.seed }) : undefined;
    const found: Validation = { step: step + 1, images, ...scores, ...baselines, ...(swept && { bySteps: swept.bySteps }) };
    await writeOrTell(run.report, join(run.folder.path, 'validation.json'), json(found));
    run.report.line(`step ${step + 1}: PSNR ${scores.psnr.toFixed(2)} dB, SSIM ${scores.ssim.toFixed(4)} on ${images} held-out ${copySource ? 'pairs' : 'images'} (${
      copySource ? `copy the source: ${copySource.psnr.toFixed(2)} dB, ${copySource.ssim.toFixed(4)}; ` : ''}mean ${copySource ? 'target' : 'image'}: ${meanTarget.psnr.toFixed(2)} dB, ${meanTarget.ssim.toFixed(4)})`);
    if (swept) run.report.line(sweepTable(swept));
    return scores;
  };
};
