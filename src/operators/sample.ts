import { join } from 'node:path';
import { type MonoTypeOperatorFunction, concatMap, defer, from, of, using } from 'rxjs';
import type { RunContext, Translate } from '../run/method.ts';
import { checkEvery, isDue, writeOrTell } from '../run/observed.ts';
import { renderStrip } from '../run/strip.ts';
import { type HeldOut, heldOutKey, translateImages } from '../run/validation.ts';
import { failAs } from '../streams/failAs.ts';
import type { Batch } from '../streams/frames.ts';

/** Eight digits, so that files sort by step. */
const stripName = (step: number): string => `step-${`${step}`.padStart(8, '0')}.png`;

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
 * @throws RangeError when `every` or `count` is not a positive integer
 */
export function sample<F extends Batch>(
  run: Pick<RunContext, 'folder' | 'seed' | 'steps' | 'control' | 'report'>, heldOut: HeldOut, translate: Translate, { every, count = 4 }: { every: number; count?: number },
): MonoTypeOperatorFunction<F> {
  checkEvery('sample', every);
  if (!Number.isInteger(count) || count < 1) throw new RangeError(`sample: expected count to be a positive integer but received ${count}`);
  return (source) => defer(() => {
    let asked = false;
    const size = [heldOut.height, heldOut.width] as const;
    const draw = async (frame: F): Promise<F> => {
      const pairs = await Promise.all((await heldOut.pairs()).slice(0, count).map((load) => load()));
      if (pairs.length === 0) return frame;
      const outputs = await translateImages(translate, pairs.map(({ source }) => source), size, { keys: pairs.map((_, i) => heldOutKey(run.seed, i)), batch: pairs.length });
      const strip = await renderStrip(pairs.map(({ source, target }, i) => ({ source, target, output: outputs[i] as Float32Array })), size, `step ${frame.step + 1} of ${run.steps}, averaged weights`);
      for (const name of [stripName(frame.step + 1), 'latest.png']) await writeOrTell(run.report, join(run.folder.samples, name), strip);
      return frame;
    };
    return using(() => run.control.sample.subscribe(() => { asked = true; }), () => source.pipe(concatMap((frame) => {
      if (!asked && !isDue(frame.step, every, run.steps)) return of(frame);
      asked = false;
      return from(draw(frame)).pipe(failAs('sample', frame));
    })));
  });
}
