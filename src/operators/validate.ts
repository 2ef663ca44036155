import { join } from 'node:path';
import { type OperatorFunction, concatMap, defer, from, of } from 'rxjs';
import type { RunContext, Translate } from '../run/method.ts';
import { type Scored, checkEvery, isDue, writeOrTell } from '../run/observed.ts';
import { json } from '../run/runFolder.ts';
import { type HeldOut, type Validation, scoreBaselines, scoreModel } from '../run/validation.ts';
import { failAs } from '../streams/failAs.ts';
import type { Settled } from '../streams/frames.ts';

/**
 * Scores the model on held-out pairs, on its interval and after the last step: mean PSNR and SSIM beside two baselines, written to `validation.json`.
 * Baselines are computed once, at the first validation.
 *
 * Reads  metrics
 * Adds   metrics  `val.psnr` in dB and `val.ssim`, when it was due
 *        scores   the same; undefined otherwise, or when there are no held-out pairs
 * Timing one frame out for each frame in, after its validation, synchronously when none is due; ends and fails with its source.
 * @param heldOut pairs to score on
 * @param translate the model, with the weights that are to be scored
 * @param options.every steps between validations @param options.batch images at a time; does not change the scores
 * @throws RangeError when `every` or `batch` is not a positive integer
 */
export function validate<F extends Settled>(
  run: Pick<RunContext, 'folder' | 'seed' | 'steps' | 'report'>, heldOut: HeldOut, translate: Translate, { every, batch = 4 }: { every: number; batch?: number },
): OperatorFunction<F, F & Scored> {
  checkEvery('validate', every);
  if (!Number.isInteger(batch) || batch < 1) throw new RangeError(`validate: expected batch to be a positive integer but received ${batch}`);
  return (source) => defer(() => {
    let baselines: Awaited<ReturnType<typeof scoreBaselines>> | undefined;
    const score = async (frame: F): Promise<F & Scored> => {
      const scored = await scoreModel(heldOut, translate, { batch, seed: run.seed });
      if (scored === undefined) {
        if (frame.step + 1 === run.steps) run.report.line('there are no held-out pairs: nothing was validated');
        return { ...frame, scores: undefined };
      }
      const { scores, images } = scored;
      baselines ??= await scoreBaselines(heldOut, batch);
      const { copySource, meanTarget } = baselines;
      await writeOrTell(run.report, join(run.folder.path, 'validation.json'), json({ step: frame.step + 1, images, ...scores, ...baselines } satisfies Validation));
      run.report.line(`step ${frame.step + 1}: PSNR ${scores.psnr.toFixed(2)} dB, SSIM ${scores.ssim.toFixed(4)} on ${images} held-out ${copySource ? 'pairs' : 'images'} (${
        copySource ? `copy the source: ${copySource.psnr.toFixed(2)} dB, ${copySource.ssim.toFixed(4)}; ` : ''}mean ${copySource ? 'target' : 'image'}: ${meanTarget.psnr.toFixed(2)} dB, ${meanTarget.ssim.toFixed(4)})`);
      return { ...frame, metrics: { ...frame.metrics, 'val.psnr': scores.psnr, 'val.ssim': scores.ssim }, scores };
    };
    return source.pipe(concatMap((frame) => (isDue(frame.step, every, run.steps) ? from(score(frame)).pipe(failAs('validate', frame)) : of({ ...frame, scores: undefined }))));
  });
}
