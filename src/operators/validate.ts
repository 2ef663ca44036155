import { type ObservableInput, type OperatorFunction, concatMap, defer, map, of } from 'rxjs';
import type { RunContext, Translate } from '../run/method.ts';
import { type Scored, type Scores, checkEvery, isDue } from '../run/observed.ts';
import type { HeldOut } from '../run/validation.ts';
import { validator } from '../run/validator.ts';
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
 * @param options.sweep numbers of sampler steps that the model is also scored at after the last step
 * @param options.score scores the model after a step; what `validator` makes by default
 * @throws RangeError when `every` or `batch` is not a positive integer
 */
export function validate<F extends Settled>(
  run: Pick<RunContext, 'folder' | 'seed' | 'steps' | 'report'>, heldOut: HeldOut, translate: Translate,
  { every, batch = 4, sweep = [], score }: { every: number; batch?: number; sweep?: readonly number[]; score?: (step: number) => ObservableInput<Scores | undefined> },
): OperatorFunction<F, F & Scored> {
  checkEvery('validate', every);
  if (!Number.isInteger(batch) || batch < 1) throw new RangeError(`validate: expected batch to be a positive integer but received ${batch}`);
  return (source) => defer(() => {
    const scoresOf = score ?? validator(run, heldOut, translate, { batch, sweep });
    const scored = (frame: F) => defer(() => scoresOf(frame.step)).pipe(
      map((scores) => (scores ? { ...frame, metrics: { ...frame.metrics, 'val.psnr': scores.psnr, 'val.ssim': scores.ssim }, scores } : { ...frame, scores })),
      failAs('validate', frame),
    );
    return source.pipe(concatMap((frame) => (isDue(frame.step, every, run.steps) ? scored(frame) : of({ ...frame, scores: undefined }))));
  });
}
