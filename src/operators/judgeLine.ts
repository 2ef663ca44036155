import { join } from 'node:path';
import { type MonoTypeOperatorFunction, concatMap, from, of } from 'rxjs';
import { ridgeR2 } from '../losses/diffusion/straightLineMeasures.ts';
import type { Codec } from '../models/codec.ts';
import { heldOutOf } from '../run/heldOut.ts';
import type { RunContext, Translate } from '../run/method.ts';
import { writeOrTell } from '../run/observed.ts';
import { json } from '../run/runFolder.ts';
import { measureArm } from '../run/straightLine/measureArm.ts';
import { decide, verdictLines } from '../run/straightLine/verdict.ts';
import { type HeldOut, scoreModel } from '../run/validation.ts';
import { failAs } from '../streams/failAs.ts';
import type { Batch } from '../streams/frames.ts';
import type { LineKind } from '../models/lineAutoencoder.ts';
import type { LineArm } from './alignLatents.ts';

/**
 * After the last step, measures the straight-line experiment on training and held-out pairs, decides whether it works, says so, and writes `verdict.json`.
 *
 * Reads  step
 * Adds   nothing
 * Timing one frame out for each frame in, the last one after the verdict is written, the others synchronously; ends and fails with its source.
 * @param size side of the images in pixels @param options.limit pairs of either kind, at most @param options.data in place of the run's own pairs
 * @param arms.plain, arms.line, arms.shuffled see `alignLatents`; arms.direct the network that answers at once, as a translator
 */
export function judgeLine<F extends Batch>(run: Pick<RunContext, 'folder' | 'seed' | 'steps' | 'report' | 'dataset' | 'skippedFiles' | 'strict'>, size: number,
  arms: Readonly<{ plain: LineArm; line: LineArm; shuffled: LineArm; direct: Translate }>, { kind, codec, limit = 64, data }: Readonly<{ kind: LineKind; codec: Codec; limit?: number; data?: Readonly<{ unseen: HeldOut; seen: HeldOut }> }>): MonoTypeOperatorFunction<F> {
  const judge = async (frame: F): Promise<F> => {
    const { report, seed } = run;
    const sides = [size, size] as const;
    const { unseen, seen } = data ?? { unseen: heldOutOf(run, { size, limit }), seen: heldOutOf({ ...run, dataset: { ...run.dataset, validation: run.dataset.train } }, { size, limit }) };
    const [heldOut, trained] = [await loaded(unseen), await loaded(seen)];
    if (heldOut.length < 2 || trained.length < 2) { report.line('there are fewer than two pairs to judge the straight line on'); return frame; }
    const torn = heldOut.map((pair, i) => ({ ...pair, target: (heldOut[(i + 1) % heldOut.length] as typeof pair).target }));
    const [plain, line, shuffled] = [await measureArm(arms.plain, codec, heldOut, sides), await measureArm(arms.line, codec, heldOut, sides), await measureArm(arms.shuffled, codec, torn, sides)];
    const before = await measureArm(arms.line, codec, trained, sides);
    const direct = (await scoreModel(unseen, arms.direct, { batch: 1, seed }))?.scores.psnr ?? NaN;
    const explained = ridgeR2([...before.rows.sources, ...line.rows.sources], [...before.rows.residuals, ...line.rows.residuals], { fit: trained.length });
    const evidence = { kind, plain, line, shuffled, direct, explained };
    const verdict = decide(evidence);
    const plainly = Object.fromEntries(Object.entries({ plain, line, shuffled, lineOnTrainingPairs: before }).map(([name, { rows: _rows, ...found }]) => [name, found]));
    await writeOrTell(report, join(run.folder.path, 'verdict.json'), json({ ...verdict, kind, step: frame.step + 1, pairs: heldOut.length, direct, explained, ...plainly }));
    for (const text of verdictLines(verdict, evidence, heldOut.length)) report.line(text);
    return frame;
  };
  return concatMap((frame) => (frame.step + 1 < run.steps ? of(frame) : from(judge(frame)).pipe(failAs('judgeLine', frame))));
}

const loaded = async (pairs: HeldOut) => Promise.all((await pairs.pairs()).map((load) => load()));
