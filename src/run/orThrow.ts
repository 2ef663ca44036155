import * as E from 'fp-ts/lib/Either.js';
import type { TaskEither } from 'fp-ts/lib/TaskEither.js';

/** What a Right holds. @throws what a Left holds */
export const orThrow = <L, A>(either: E.Either<L, A>): A => {
  if (E.isLeft(either)) throw either.left;
  return either.right;
};

/** What a task's Right holds. @throws what its Left holds, as a rejection */
export const unwrap = async <L, A>(task: TaskEither<L, A>): Promise<A> => orThrow(await task());
