import * as E from 'fp-ts/lib/Either.js';
import type { TaskEither } from 'fp-ts/lib/TaskEither.js';
import { type Observable, defer, map } from 'rxjs';

/**
 * Runs a task when subscribed: its Right is the one value of the stream, its Left the stream's error. Where a stream starts, errors as values end.
 *
 * Timing one value, asynchronously, then the end.
 */
export const fromTaskEither = <L, A>(task: TaskEither<L, A>): Observable<A> => defer(task).pipe(map((result) => {
  if (E.isLeft(result)) throw result.left;
  return result.right;
}));
