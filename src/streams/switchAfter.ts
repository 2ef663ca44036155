import { EMPTY, type Observable, type ObservableInput, type OperatorFunction, Subject, defer, exhaustMap, from, of, repeat, tap } from 'rxjs';

/**
 * Like `switchMap`, but what runs is asked to end, and waited for. Of the values that come meanwhile only the last one counts.
 *
 * Timing the next inner stream is subscribed when the one before has completed; ends when the source and the last inner stream have, fails with either.
 * @param project makes a stream from a value; it should complete soon after `stop` emits
 */
export function switchAfter<A, B>(project: (value: A, stop: Observable<void>) => ObservableInput<B>): OperatorFunction<A, B> {
  return (source) => defer(() => {
    const stop = new Subject<void>();
    let waiting: Readonly<{ value: A }> | undefined;
    const next = defer(() => {
      // Empty when a stream that ended at once has taken the value already.
      if (waiting === undefined) return EMPTY;
      const { value } = waiting;
      waiting = undefined;
      return from(project(value, stop));
    });
    return source.pipe(
      tap((value) => { waiting = { value }; stop.next(); }),
      exhaustMap(() => next.pipe(repeat({ delay: () => (waiting === undefined ? EMPTY : of(true)) }))),
    );
  });
}
