import { type MonoTypeOperatorFunction, type ObservableInput, concat, concatMap, defer, ignoreElements, of, using } from 'rxjs';
import type { RunContext, Translate } from '../run/method.ts';
import { checkEvery, isDue } from '../run/observed.ts';
import { sampleStrips } from '../run/sampleStrips.ts';
import type { HeldOut } from '../run/validation.ts';
import { failAs } from '../streams/failAs.ts';
import type { Batch } from '../streams/frames.ts';

/**
 * Draws a sample strip of fixed held-out pairs (source | output | target | error): `samples/step-<completed steps>.png` and `samples/latest.png`, on its
 * interval, after the last step, and after the next step when asked.
 *
 * Reads  step
 * Adds   nothing
 * Timing one frame out for each frame in, after its strip is written, synchronously when none is due; ends and fails with its source.
 * @param heldOut where the pairs come from: the first `count`
 * @param translate the model, with the averaged weights
 * @param options.every steps between strips @param options.count rows of a strip
 * @param options.draw draws and writes the strip of a step; what `sampleStrips` makes by default
 * @throws RangeError when `every` or `count` is not a positive integer
 */
export function sample<F extends Batch>(
  run: Pick<RunContext, 'folder' | 'seed' | 'steps' | 'control' | 'report'>, heldOut: HeldOut, translate: Translate,
  { every, count = 4, draw }: { every: number; count?: number; draw?: (step: number) => ObservableInput<unknown> },
): MonoTypeOperatorFunction<F> {
  checkEvery('sample', every);
  if (!Number.isInteger(count) || count < 1) throw new RangeError(`sample: expected count to be a positive integer but received ${count}`);
  return (source) => defer(() => {
    let asked = false;
    const strip = draw ?? sampleStrips(run, heldOut, translate, { count });
    const drawn = (frame: F) => concat(defer(() => strip(frame.step)).pipe(ignoreElements(), failAs('sample', frame)), of(frame));
    return using(() => run.control.sample.subscribe(() => { asked = true; }), () => source.pipe(concatMap((frame) => {
      if (!asked && !isDue(frame.step, every, run.steps)) return of(frame);
      asked = false;
      return drawn(frame);
    })));
  });
}
