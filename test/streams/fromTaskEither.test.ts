import * as TE from 'fp-ts/lib/TaskEither.js';
import { NEVER, lastValueFrom, merge, takeUntil, timer, toArray } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { fromTaskEither } from '../../src/streams/fromTaskEither.ts';

describe('fromTaskEither', () => {
  it('emits a Right once and ends', async () => { expect(await lastValueFrom(fromTaskEither(TE.right(3)).pipe(toArray()))).toEqual([3]); });

  it('fails with a Left as it is', async () => {
    const error = new TypeError('no');
    await expect(lastValueFrom(fromTaskEither(TE.left(error)))).rejects.toBe(error);
  });

  it('fails with what a task should not have thrown', async () => {
    await expect(lastValueFrom(fromTaskEither(() => Promise.reject(new Error('bug'))))).rejects.toThrow('bug');
  });

  it('runs the task anew for each subscription, and not before', async () => {
    let runs = 0;
    const source = fromTaskEither(() => { runs++; return TE.right(runs)(); });
    expect(runs).toBe(0);
    expect([await lastValueFrom(source), await lastValueFrom(source)]).toEqual([1, 2]);
  });

  it('says nothing after it was unsubscribed, and waits for a task that never ends', async () => {
    const seen: unknown[] = [];
    fromTaskEither(TE.right(1)).subscribe((value) => { seen.push(value); }).unsubscribe();
    const never = fromTaskEither<never, number>(() => new Promise(() => {}));
    expect(await lastValueFrom(merge(never, NEVER).pipe(takeUntil(timer(20)), toArray()))).toEqual([]);
    expect(seen).toEqual([]);
  });
});
