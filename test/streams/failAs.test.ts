import { NEVER, concat, of, throwError } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { DecodeError } from '../../src/errors.ts';
import { failAs } from '../../src/streams/failAs.ts';
import { OperatorError } from '../../src/streams/mapTensors.ts';
import { batchAt, marbles } from '../support.ts';

describe('failAs', () => {
  it.each([['-a-|', '^--!'], ['|', '(^!)'], ['-', '^----!'], ['-a', '^----!']])('passes on %s', (marble, subscription) => {
    marbles(({ cold, expectObservable, expectSubscriptions }) => {
      const source = cold(marble);
      expectObservable(source.pipe(failAs('validate', batchAt(3))), '^----!').toBe(marble);
      expectSubscriptions(source.subscriptions).toBe(subscription);
    })();
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
