import { NEVER, Subject, concat, from, of, take, throwError } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { DecodeError } from '../../src/errors.ts';
import { failAs } from '../../src/streams/failAs.ts';
import { OperatorError } from '../../src/streams/mapTensors.ts';
import { batchAt, marbles, steps } from '../support.ts';

describe('failAs', () => {
  it.each([['-a-|', '^--!'], ['|', '(^!)'], ['-', '^----!'], ['-a', '^----!']])('passes on %s', (marble, subscription) => {
    marbles(({ cold, expectObservable, expectSubscriptions }) => {
      const source = cold(marble);
      expectObservable(source.pipe(failAs('validate', batchAt(3))), '^----!').toBe(marble);
      expectSubscriptions(source.subscriptions).toBe(subscription);
    })();
  });

  it('is cut by take over a synchronous endless source, and can be re-entered', () => {
    const seen: number[] = [];
    from(steps()).pipe(failAs('validate', batchAt(3)), take(2)).subscribe(({ step }) => { seen.push(step); });
    const loop = new Subject<number>();
    loop.pipe(failAs('validate', batchAt(3))).subscribe((value) => { seen.push(value); if (value < 12) loop.next(value + 1); });
    loop.next(10);
    expect(seen).toEqual([0, 1, 10, 11, 12]);
  });

  it('names operator, step and images of what fails', () => {
    let failure: unknown;
    throwError(() => new Error('no memory')).pipe(failAs('validate', batchAt(3))).subscribe({ error: (cause: unknown) => { failure = cause; } });
    expect(failure).toBeInstanceOf(OperatorError);
    expect((failure as Error).message).toBe('validate failed at step 3 on [image3]: no memory');
  });

  it.each([[new DecodeError('a.png', 'a.png: truncated')], [new OperatorError('settle', batchAt(3), 'lost')]])('leaves alone what speaks for itself: %s', (error) => {
    let failure: unknown;
    concat(of(1), throwError(() => error)).pipe(failAs('validate', batchAt(3))).subscribe({ error: (cause: unknown) => { failure = cause; } });
    expect(failure).toBe(error);
    NEVER.pipe(failAs('validate', batchAt(3))).subscribe().unsubscribe();
  });
});
