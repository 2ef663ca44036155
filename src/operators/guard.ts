import { concatMap, defer, from, of, type MonoTypeOperatorFunction } from 'rxjs';
import { NonFiniteLossError } from '../errors.ts';
import type { RunContext } from '../run/method.ts';
import { readLog } from '../run/runLog.ts';
import type { Settled } from '../streams/frames.ts';

/** How many steps in a row, up to the one before `step`, are on record as dropped. */
const rowBefore = (dropped: readonly number[], step: number): number => {
  let row = 0;
  while (dropped[dropped.length - 1 - row] === step - 1 - row) row++;
  return row;
};

/**
 * Watches for updates that were dropped because their loss or gradient norm was not finite: writes step, seed and image ids to `dropped.jsonl`, and
 * ends the run when that happens too often in a row. A resumed run goes on counting where it was broken off.
 *
 * Reads  metrics  `<net>.finite`: 1, or 0 for a dropped update
 * Adds   nothing
 * Timing one frame out for each frame in, synchronously unless it is written down; ends and fails with its source.
 * @param options.limit dropped steps in a row that end the run
 * @throws RangeError when `limit` is not a positive integer; NonFiniteLossError as the stream's error
 */
export function guard<F extends Settled>(run: Pick<RunContext, 'folder' | 'seed' | 'start' | 'report'>, { limit = 3 }: { limit?: number } = {}): MonoTypeOperatorFunction<F> {
  if (!Number.isInteger(limit) || limit < 1) throw new RangeError(`guard: expected limit to be a positive integer but received ${limit}`);
  return (source) => defer(() => {
    let row: number | undefined;
    const write = async (frame: F, nets: readonly string[]): Promise<F> => {
      const { step, epoch, ids, metrics } = frame;
      row ??= rowBefore((await readLog(run.folder.dropped.path)).map((record) => record.step), run.start);
      row++;
      const values = Object.fromEntries(nets.flatMap((net) => [`${net}.loss`, `${net}.gradNorm`]).map((name) => [name, metrics[name]]));
      await run.folder.dropped.append({ step, epoch, seed: run.seed, ids, nets, ...values });
      const what = `the update of ${nets.join(' and ')} at step ${step} was not finite and was dropped; its images: ${ids.join(', ')}`;
      run.report.line(what);
      if (row < limit) return frame;
      throw new NonFiniteLossError(step, `${what}; ${row === 1 ? '' : `that was ${row} steps in a row, `}see ${run.folder.dropped.path}`);
    };
    return source.pipe(concatMap((frame) => {
      const nets = Object.keys(frame.metrics).filter((name) => name.endsWith('.finite') && frame.metrics[name] === 0).map((name) => name.slice(0, -'.finite'.length));
      if (nets.length > 0) return from(write(frame, nets));
      row = 0;
      return of(frame);
    }));
  });
}
