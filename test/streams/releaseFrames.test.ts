import { from, map, take } from 'rxjs';
import { describe, expect, it } from 'vitest';
import type { Batch } from '../../src/streams/frames.ts';
import { releaseFrames } from '../../src/streams/releaseFrames.ts';
import * as tf from '../../src/tf.ts';
import { batchAt, leakFree, marbles, steps } from '../support.ts';

const loaded = map((batch: Batch) => ({ ...batch, x: tf.scalar(batch.step), more: { y: [tf.scalar(1)] } }));

describe('releaseFrames', () => {
  it('frees every tensor, at any depth, and passes on names and position', leakFree(marbles(({ cold, expectObservable, expectSubscriptions }) => {
    const source = cold('-a-b-|', { a: batchAt(0), b: batchAt(1) });
    expectObservable(source.pipe(loaded, releaseFrames())).toBe('-a-b-|', { a: batchAt(0), b: batchAt(1) });
    expectSubscriptions(source.subscriptions).toBe('^----!');
  })));

  it.each([['|'], ['-'], ['-#']])('passes on the end of %s', (marble) => {
    marbles(({ cold, expectObservable }) => { expectObservable(cold<Batch>(marble).pipe(releaseFrames())).toBe(marble); })();
  });

  it('releases its source on early unsubscription', leakFree(marbles(({ cold, expectObservable, expectSubscriptions }) => {
    const source = cold('-a-b-|', { a: batchAt(0), b: batchAt(1) });
    expectObservable(source.pipe(loaded, releaseFrames()), '^-!').toBe('-a', { a: batchAt(0) });
    expectSubscriptions(source.subscriptions).toBe('^-!');
  })));

  it('is cut by take over a synchronous source', leakFree(() => {
    const seen: number[] = [];
    from(steps()).pipe(loaded, releaseFrames(), take(3)).subscribe(({ step }) => { seen.push(step); });
    expect(seen).toEqual([0, 1, 2]);
  }));
});
