import { EMPTY, NEVER, type Observable, Subject, concat, defer, from, takeUntil, throwError } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { switchAfter } from '../../src/streams/switchAfter.ts';
import { marbles } from '../support.ts';

describe('switchAfter', () => {
  it('asks what runs to end, waits for it, then starts the next', marbles(({ cold, hot, expectObservable, expectSubscriptions }) => {
    const source = hot('  a-----b---------------|');
    const first = cold('  x-x-x-x-x-x');
    const last = cold('         --z|');
    const second = cold('          -y-y|');
    const expected = '    x-x-x---z-y-y---------|';
    const result = source.pipe(switchAfter((name, stop) => (name === 'a' ? concat(first.pipe(takeUntil(stop)), last) : second)));
    expectObservable(result).toBe(expected);
    expectSubscriptions(first.subscriptions).toBe(' ^-----!');
    expectSubscriptions(last.subscriptions).toBe('  ------^--!');
    expectSubscriptions(second.subscriptions).toBe('---------^---!');
  }));

  it('starts only the last of those that came while one was ending', marbles(({ cold, hot, expectObservable }) => {
    const source = hot('  a-bcd---|');
    const expected = '    ------x-x|';
    const ending = (stop: Observable<void>): Observable<string> => concat(NEVER.pipe(takeUntil(stop)), cold<string>('----x|'));
    const result = source.pipe(switchAfter((name, stop) => (name === 'a' ? ending(stop) : cold<string>('-x|'))));
    expectObservable(result).toBe(expected);
  }));

  it('waits for the last run when the source ends', marbles(({ cold, hot, expectObservable }) => {
    expectObservable(hot('a|').pipe(switchAfter(() => cold('---x--|')))).toBe('---x--|');
  }));

  it.each([['|'], ['-'], ['-#']])('passes on the end of %s', (marble) => {
    marbles(({ cold, expectObservable }) => { expectObservable(cold(marble).pipe(switchAfter(() => NEVER))).toBe(marble); })();
  });

  it('fails with a run, and with a project that throws', marbles(({ hot, cold, expectObservable, expectSubscriptions }) => {
    const source = hot('-a---b-');
    expectObservable(source.pipe(switchAfter(() => cold('--#')))).toBe('---#');
    expectSubscriptions(source.subscriptions).toBe('^--!');
    expectObservable(hot('-a').pipe(switchAfter(() => { throw new Error('no'); }))).toBe('-#', undefined, new Error('no'));
  }));

  it('unsubscribes from the run at once when it is unsubscribed', marbles(({ cold, hot, expectObservable, expectSubscriptions }) => {
    const source = hot('a-------');
    const run = cold('  x-x-x-x-');
    expectObservable(source.pipe(switchAfter(() => run)), '^--!').toBe('x-x-');
    expectSubscriptions(run.subscriptions).toBe('^--!');
    expectSubscriptions(source.subscriptions).toBe('^--!');
  }));

  it('takes a synchronous source and runs that end at once in turn', () => {
    const seen: string[] = [];
    from(['a', 'b', 'c']).pipe(switchAfter((name) => [`${name}1`, `${name}2`])).subscribe((value) => { seen.push(value); });
    expect(seen).toEqual(['a1', 'a2', 'b1', 'b2', 'c1', 'c2']);
  });

  it('stands a run that ends inside the request, and a value that comes out of a run', () => {
    const source = new Subject<number>();
    const started: number[] = [];
    let done = false;
    source.pipe(switchAfter((value, stop) => defer(() => {
      started.push(value);
      if (value === 1) source.next(2);
      return value === 0 ? NEVER.pipe(takeUntil(stop)) : EMPTY;
    }))).subscribe({ complete: () => { done = true; } });
    source.next(0);
    source.next(1);
    source.next(3);
    source.complete();
    expect(started).toEqual([0, 1, 2, 3]);
    expect(done).toBe(true);
  });

  it('keeps the error of a run that fails while it is ending', marbles(({ hot, expectObservable }) => {
    const result = hot('a-b').pipe(switchAfter((_, stop) => concat(NEVER.pipe(takeUntil(stop)), throwError(() => new Error('disk full')))));
    expectObservable(result).toBe('--#', undefined, new Error('disk full'));
  }));
});
