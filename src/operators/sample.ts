import { type MonoTypeOperatorFunction, type ObservableInput, Subject, concat, concatMap, defer, exhaustMap, ignoreElements, merge, of, takeUntil, tap } from 'rxjs';
import type { RunContext, Translate } from '../run/method.ts';
import { checkEvery, isDue } from '../run/observed.ts';
import { sampleStrips } from '../run/sampleStrips.ts';
import type { HeldOut } from '../run/validation.ts';
import type { CreditGate } from '../streams/creditGate.ts';
import { failAs } from '../streams/failAs.ts';
import type { Batch } from '../streams/frames.ts';

/**
 * Draws a sample strip of fixed held-out pairs (source | output | target | error): `samples/step-<completed steps>.png` and `samples/latest.png`, on its
 * interval, after the last step, and when asked: at once while the run stands, else after the step under way. The engine never draws beside a step.
 *
 * Reads  step
 * Adds   nothing
 * Timing one frame out for each frame in, after its strip is written, synchronously when none is due; ends and fails with its source, and fails with a strip.
 * @param gate finds room between two steps for what is asked
 * @param heldOut where the pairs come from: the first `count`
 * @param translate the model, with the averaged weights
 * @param options.every steps between strips @param options.count rows of a strip
 * @param options.draw draws the strip of a step and tells its path; what `sampleStrips` makes by default
 * @throws RangeError when `every` or `count` is not a positive integer
 */
export function sample<F extends Batch>(
  run: Pick<RunContext, 'folder' | 'seed' | 'start' | 'steps' | 'control' | 'report'>, gate: Pick<CreditGate, 'between'>, heldOut: HeldOut, translate: Translate,
  { every, count = 4, draw }: { every: number; count?: number; draw?: (step: number) => ObservableInput<string | undefined> },
): MonoTypeOperatorFunction<F> {
  checkEvery('sample', every);
  if (!Number.isInteger(count) || count < 1) throw new RangeError(`sample: expected count to be a positive integer but received ${count}`);
  return (source) => defer(() => {
    const strip = draw ?? sampleStrips(run, heldOut, translate, { count });
    const drawn = (frame: Batch) => defer(() => strip(frame.step)).pipe(failAs('sample', frame));
    // Before the first step there is none to name: the weights are those after the one before.
    let last: Batch = { step: run.start - 1, epoch: 0, ids: [] };
    const over = new Subject<void>();
    const asked = run.control.sample.pipe(
      exhaustMap(() => gate.between(defer(() => drawn(last)))),
      tap((path) => { if (path !== undefined) run.report.line(`a sample strip of step ${last.step + 1} is in ${path}`); }),
      takeUntil(over),
    );
    const frames = source.pipe(
      tap((frame) => { last = frame; }),
      concatMap((frame) => (isDue(frame.step, every, run.steps) ? concat(drawn(frame).pipe(ignoreElements()), of(frame)) : of(frame))),
      tap({ complete: () => { over.next(); } }),
    );
    return merge(asked.pipe(ignoreElements()), frames);
  });
}
