import { type OperatorFunction, Subject, from, map, take } from 'rxjs';
import { expect, it } from 'vitest';
import type { Batch } from '../../src/streams/frames.ts';
import { OperatorError, release, tensorsOf } from '../../src/streams/mapTensors.ts';
import * as tf from '../../src/tf.ts';
import { batchAt, leakFree, marbles, steps } from '../support.ts';

/**
 * The cases every synchronous frame operator has to pass: one frame out for each in, empty, never, error, early unsubscription, a synchronous source cut by
 * `take`, re-entry, and an input it cannot work on; no tensor is left behind in any.
 * @param make a fresh operator; it is subscribed more than once
 * @param load adds to a batch what the operator reads; made of tensors that nobody else owns
 * @param options.readsTensors false for an operator that no tensor of the frame can make fail
 */
export const keepsTheContract = <A extends Batch, B extends Batch>(make: () => OperatorFunction<A, B>, load: (batch: Batch) => A, { readsTensors = true } = {}): void => {
  const stepOf = map((frame: B) => { const { step } = frame; release(frame); return step; });
  const loaded = map((batch: Batch) => load(batch));
  const batches = { a: batchAt(0), b: batchAt(1) };

  it('passes one frame on for each that comes, and ends with its source', leakFree(marbles(({ cold, expectObservable, expectSubscriptions }) => {
    const source = cold('-a-b-|', batches);
    expectObservable(source.pipe(loaded, make(), stepOf)).toBe('-0-1-|', { 0: 0, 1: 1 });
    expectSubscriptions(source.subscriptions).toBe('^----!');
  })));

  it.each(['|', '-', '-#'])('passes on the end of %s', (marble) => {
    return leakFree(marbles(({ cold, expectObservable }) => { expectObservable(cold<Batch>(marble).pipe(loaded, make(), stepOf)).toBe(marble); }))();
  });

  it('fails with its source, and frees what came before', leakFree(marbles(({ cold, expectObservable }) => {
    expectObservable(cold('-a-#', batches).pipe(loaded, make(), stepOf)).toBe('-0-#', { 0: 0 });
  })));

  it('releases its source on early unsubscription', leakFree(marbles(({ cold, expectObservable, expectSubscriptions }) => {
    const source = cold('-a-b-|', batches);
    expectObservable(source.pipe(loaded, make(), stepOf), '^-!').toBe('-0', { 0: 0 });
    expectSubscriptions(source.subscriptions).toBe('^-!');
  })));

  it('is cut by take over a synchronous endless source', leakFree(() => {
    const seen: number[] = [];
    from(steps()).pipe(loaded, make(), stepOf, take(2)).subscribe((step) => { seen.push(step); });
    expect(seen).toEqual([0, 1]);
  }));

  it('can be re-entered', leakFree(() => {
    const seen: number[] = [];
    const loop = new Subject<Batch>();
    const subscription = loop.pipe(loaded, make(), stepOf).subscribe((step) => { seen.push(step); if (step < 2) loop.next(batchAt(step + 1)); });
    loop.next(batchAt(0));
    expect(seen).toEqual([0, 1, 2]);
    subscription.unsubscribe();
    expect(loop.observed).toBe(false);
  }));

  it('starts afresh with every subscription', leakFree(() => {
    const stream = from(steps(2)).pipe(loaded, make(), stepOf);
    const seen: number[] = [];
    stream.subscribe((step) => { seen.push(step); });
    stream.subscribe((step) => { seen.push(step); });
    expect(seen).toEqual([0, 1, 0, 1]);
  }));

  if (readsTensors) it('names itself, the step and the images when it fails, and frees the frame', leakFree(() => {
    let failure: unknown;
    from(steps(1)).pipe(loaded, map((frame) => {
      // A rank that no operator on images can work on, in place of every tensor.
      for (const tensor of tensorsOf(frame)) tensor.dispose();
      const broken = Object.fromEntries(Object.entries(frame).map(([name, value]) => [name, value instanceof tf.Tensor ? tf.zeros([0, 7]) : value]));
      return broken as unknown as A;
    }), make(), stepOf).subscribe({ error: (error: unknown) => { failure = error; } });
    expect(failure).toBeInstanceOf(OperatorError);
    expect((failure as OperatorError).message).toMatch(/failed at step 0 on \[image0\]/);
  }));
};
