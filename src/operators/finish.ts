import { type MonoTypeOperatorFunction, type ObservableInput, EMPTY, concat, defer, ignoreElements, tap } from 'rxjs';
import { failAs } from '../streams/failAs.ts';
import type { Batch } from '../streams/frames.ts';

/**
 * Does something once when a run has come to its end or was stopped, before the stream completes; not when it fails, is unsubscribed, or had no step.
 *
 * Reads  nothing
 * Adds   nothing
 * Timing one frame out for each frame in, synchronously; ends when the task has, fails with its source or with the task.
 * @param task what is left to do, with the last frame
 */
export function finish<F extends Batch>(task: (last: F) => ObservableInput<unknown>): MonoTypeOperatorFunction<F> {
  return (source) => defer(() => {
    let last: F | undefined;
    const rest = defer(() => {
      const frame = last;
      return frame === undefined ? EMPTY : defer(() => task(frame)).pipe(ignoreElements(), failAs('finish', frame));
    });
    return concat(source.pipe(tap((frame) => { last = frame; })), rest);
  });
}
