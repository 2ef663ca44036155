import { type MonoTypeOperatorFunction, concatWith, defer, from, ignoreElements, tap } from 'rxjs';

/**
 * Does something once when a run has come to its end or was stopped, before the stream completes; not when it fails, is unsubscribed, or had no step.
 *
 * Reads  nothing
 * Adds   nothing
 * Timing one frame out for each frame in, synchronously; ends when the task has, fails with its source or with the task.
 * @param task what is left to do, with the last frame
 */
export function finish<F>(task: (last: F) => Promise<void>): MonoTypeOperatorFunction<F> {
  return (source) => defer(() => {
    let last: { frame: F } | undefined;
    return source.pipe(
      tap((frame) => { last = { frame }; }),
      concatWith(defer(() => from(last ? task(last.frame) : Promise.resolve())).pipe(ignoreElements())),
    );
  });
}
