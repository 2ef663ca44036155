import { type MonoTypeOperatorFunction, type ObservableInput, concatMap, defer, from, map, of, tap } from 'rxjs';
import { NonFiniteLossError } from '../errors.ts';
import type { RunContext } from '../run/method.ts';
import { type LogRecord, readLog } from '../run/runLog.ts';
import { failAs } from '../streams/failAs.ts';
import type { Settled } from '../streams/frames.ts';

/** Where dropped steps are written down. */
export type DropLog = Readonly<{
  /** The steps on record, in their order. */
  steps: () => ObservableInput<readonly number[]>;
  /** Emits once, when the record is taken. */
  append: (record: LogRecord) => ObservableInput<unknown>;
}>;

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
 * @param options.log where they are written down; `dropped.jsonl` by default
 * @throws RangeError when `limit` is not a positive integer; NonFiniteLossError as the stream's error
 */
export function guard<F extends Settled>(run: Pick<RunContext, 'folder' | 'seed' | 'start' | 'report'>, { limit = 3, log }: { limit?: number; log?: DropLog } = {}): MonoTypeOperatorFunction<F> {
  if (!Number.isInteger(limit) || limit < 1) throw new RangeError(`guard: expected limit to be a positive integer but received ${limit}`);
  const { steps, append } = log ?? {
    steps: async () => (await readLog(run.folder.dropped.path)).map((record) => record.step),
    append: (record) => run.folder.dropped.append(record),
  };
  return (source) => defer(() => {
    let row: number | undefined;
    const write = (frame: F, nets: readonly string[]) => defer(() => (row === undefined ? from(steps()).pipe(map((dropped) => rowBefore(dropped, run.start))) : of(row))).pipe(
      concatMap((before) => {
        const { step, epoch, ids, metrics } = frame;
        row = before + 1;
        const values = Object.fromEntries(nets.flatMap((net) => [`${net}.loss`, `${net}.gradNorm`]).map((name) => [name, metrics[name]]));
        return append({ step, epoch, seed: run.seed, ids, nets, ...values });
      }),
      tap(() => {
        const what = `the update of ${nets.join(' and ')} at step ${frame.step} was not finite and was dropped; its images: ${frame.ids.join(', ')}`;
        run.report.line(what);
        if (row !== undefined && row >= limit) throw new NonFiniteLossError(frame.step, `${what}; ${row === 1 ? '' : `that was ${row} steps in a row, `}see ${run.folder.dropped.path}`);
      }),
      map(() => frame),
      failAs('guard', frame),
    );
    return source.pipe(concatMap((frame) => {
      const nets = Object.keys(frame.metrics).filter((name) => name.endsWith('.finite') && frame.metrics[name] === 0).map((name) => name.slice(0, -'.finite'.length));
      if (nets.length > 0) return write(frame, nets);
      row = 0;
      return of(frame);
    }));
  });
}
