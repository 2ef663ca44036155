import { type OperatorFunction, concat, concatMap, defer, ignoreElements, of } from 'rxjs';
import type { RunContext } from '../run/method.ts';
import { type Logged, type Scored, checkEvery, isDue } from '../run/observed.ts';
import { reporter } from '../run/reporter.ts';
import type { CreditGate } from '../streams/creditGate.ts';
import { failAs } from '../streams/failAs.ts';
import type { Settled } from '../streams/frames.ts';

/**
 * Says how training goes: a progress line at every step, and on its interval a line of `metrics.jsonl` (what was computed) and of `timing.jsonl` (how fast).
 * A step that was validated and the last step are always written. Comes before `checkpoint`, which vouches for the logs.
 *
 * Reads  metrics; scores when `validate` came before
 * Adds   logged  whether the step was written to the logs
 * Timing one frame out for each frame in, after its line is written, synchronously when none is due; ends and fails with its source.
 * @param gate says what the run waited for
 * @param options.every steps between lines of the logs
 * @param options.width characters of the terminal; undefined where there is none
 * @param options.logs counts, draws the line and writes the logs
 * @throws RangeError when `every` is not a positive integer
 */
export function report<F extends Settled & Partial<Scored>>(
  run: Pick<RunContext, 'folder' | 'start' | 'steps' | 'report'>, gate: Pick<CreditGate, 'stats'>,
  { every, width = () => (process.stdout.isTTY ? process.stdout.columns || undefined : undefined), logs = reporter }: { every: number; width?: () => number | undefined; logs?: typeof reporter },
): OperatorFunction<F, F & Logged> {
  checkEvery('report', every);
  return (source) => defer(() => {
    const { see, write, isWritten, close } = logs(run, gate, width);
    const seen = (frame: F) => defer(() => {
      see(frame);
      if (frame.scores === undefined && !isDue(frame.step, every, run.steps)) return of({ ...frame, logged: false });
      return concat(defer(write).pipe(ignoreElements()), of({ ...frame, logged: true }));
    }).pipe(failAs('report', frame));
    // How fast it went up to the very end, for the summary.
    const closing = defer(() => (isWritten() ? of<void>() : close())).pipe(ignoreElements());
    return concat(source.pipe(concatMap(seen)), closing);
  });
}
