import { type OperatorFunction, Subject, from, map, take } from 'rxjs';
import { expect, it } from 'vitest';
import type { Batch, Settled } from '../../src/streams/frames.ts';
import { batchAt, leakFree, marbles, steps } from '../support.ts';

/** A step that has run: loss 0.5 and a finite update. */
export const settled = (step: number, metrics: Readonly<Record<string, number>> = {}): Settled => ({
  ...batchAt(step), metrics: { 'generator.loss': 0.5, 'generator.gradNorm': 1, 'generator.finite': 1, ...metrics },
});

/**
 * The cases that every operator on plain numbers has to pass while none of its work is due: each frame goes through at once.
 * @param make a fresh operator with nothing to do
 */
export const letsPass = <B extends Batch>(make: () => OperatorFunction<Settled, B>): void => {
  const load = map(({ step }: Batch) => settled(step));
  const stepOf = map(({ step }: Batch) => step);
  const batches = { a: batchAt(0), b: batchAt(1) };

  it.each([['-a-b-|', '-0-1-|', '^----!'], ['|', '|', '(^!)'], ['-', '-', '^'], ['-a-#', '-0-#', '^--!']])('passes %s on', (marble, expected, subscribed) => {
    marbles(({ cold, expectObservable, expectSubscriptions }) => {
      const source = cold<Batch>(marble, batches);
      expectObservable(source.pipe(load, make(), stepOf)).toBe(expected, { 0: 0, 1: 1 });
      expectSubscriptions(source.subscriptions).toBe(subscribed);
    })();
  });

  it('releases its source on early unsubscription', leakFree(marbles(({ cold, expectObservable, expectSubscriptions }) => {
    const source = cold('-a-b-|', batches);
    expectObservable(source.pipe(load, make(), stepOf), '^-!').toBe('-0', { 0: 0 });
    expectSubscriptions(source.subscriptions).toBe('^-!');
  })));

  it('is cut by take over a synchronous endless source', () => {
    const seen: number[] = [];
    from(steps()).pipe(load, make(), stepOf, take(2)).subscribe((step) => { seen.push(step); });
    expect(seen).toEqual([0, 1]);
  });

  it('can be re-entered', () => {
    const seen: number[] = [];
    const loop = new Subject<Batch>();
    const subscription = loop.pipe(load, make(), stepOf).subscribe((step) => { seen.push(step); if (step < 2) loop.next(batchAt(step + 1)); });
    loop.next(batchAt(0));
    expect(seen).toEqual([0, 1, 2]);
    subscription.unsubscribe();
    expect(loop.observed).toBe(false);
  });
};
