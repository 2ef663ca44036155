import { type OperatorFunction, Subject, from, map, pipe, take } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { creditGate } from '../../src/streams/creditGate.ts';
import { forkMethods } from '../../src/streams/forkMethods.ts';
import type { Batch, Settled } from '../../src/streams/frames.ts';
import { mapTensors } from '../../src/streams/mapTensors.ts';
import { releaseFrames } from '../../src/streams/releaseFrames.ts';
import { settle } from '../../src/streams/settle.ts';
import * as tf from '../../src/tf.ts';
import { batchAt, leakFree, marbles, steps } from '../support.ts';

type Loaded = Batch & Readonly<{ x: tf.Scalar }>;
const load = mapTensors('load', (batch: Batch): Loaded => ({ ...batch, x: tf.scalar(batch.step) }));
const measure = (factor: number): OperatorFunction<Loaded, Settled> => pipe(
  mapTensors('measure', (frame: Loaded) => ({ ...frame, metrics: { x: tf.mul(frame.x, factor) as tf.Scalar } })),
  settle<Loaded & { metrics: Record<string, tf.Scalar> }>(),
);
/** A method of virtual time, that reads nothing back. */
const plain = (loss: number): OperatorFunction<Loaded, Settled> => pipe(releaseFrames<Loaded>(), map(({ step, epoch, ids }) => ({ step, epoch, ids, metrics: { loss } })));
const batches = { a: batchAt(0), b: batchAt(1) };
const settled = (step: number): Settled => ({ ...batchAt(step), metrics: { 'one/loss': 1, 'two/loss': 2 } });

describe('forkMethods', () => {
  it('gives every method the same values, and joins their metrics by name', leakFree(async () => {
    const seen: unknown[] = [];
    await from(steps(3)).pipe(load, forkMethods({ twice: measure(2), thrice: measure(3) })).forEach(({ step, metrics }) => { seen.push([step, metrics]); });
    expect(seen).toEqual([0, 1, 2].map((step) => [step, { 'twice/x': 2 * step, 'thrice/x': 3 * step }]));
  }));

  it('emits one settled step for each frame', leakFree(marbles(({ cold, expectObservable, expectSubscriptions }) => {
    const source = cold('-a-b-|', batches);
    expectObservable(source.pipe(load, forkMethods({ one: plain(1), two: plain(2) }))).toBe('-a-b-|', { a: settled(0), b: settled(1) });
    expectSubscriptions(source.subscriptions).toBe('^----!');
  })));

  it.each([['|'], ['-'], ['-#']])('passes on the end of %s', (marble) => {
    marbles(({ cold, expectObservable }) => { expectObservable(cold<Loaded>(marble).pipe(forkMethods({ one: plain(1), two: plain(2) }))).toBe(marble); })();
  });

  it('fails with a method, and frees', leakFree(marbles(({ cold, expectObservable, expectSubscriptions }) => {
    const source = cold('-a-b-|', batches);
    const failing = pipe(plain(2), map((frame): Settled => { if (frame.step === 1) throw new Error('method'); return frame; }));
    expectObservable(source.pipe(load, forkMethods({ one: plain(1), two: failing }))).toBe('-a-#', { a: settled(0) }, new Error('method'));
    expectSubscriptions(source.subscriptions).toBe('^--!');
  })));

  it('releases source and tensors on early unsubscription', leakFree(marbles(({ cold, expectObservable, expectSubscriptions }) => {
    const source = cold('-a-b-|', batches);
    expectObservable(source.pipe(load, forkMethods({ one: plain(1), two: plain(2) })), '^-!').toBe('-a', { a: settled(0) });
    expectSubscriptions(source.subscriptions).toBe('^-!');
  })));

  it('counts as one batch with its gate, and is cut by take over a synchronous source', leakFree(() => {
    const gate = creditGate(2);
    const seen: number[] = [];
    gate.pull(steps()).pipe(gate.inTurn(), load, forkMethods({ one: plain(1), two: plain(2) }), gate.settle(), take(3)).subscribe(({ step }) => { seen.push(step); });
    expect(seen).toEqual([0, 1, 2]);
    expect(gate.stats.maxInFlight).toBe(1);
  }));

  it('can be re-entered', leakFree(() => {
    const seen: number[] = [];
    const loop = new Subject<Batch>();
    const subscription = loop.pipe(load, forkMethods({ one: plain(1), two: plain(2) })).subscribe(({ step }) => { seen.push(step); if (step < 2) loop.next(batchAt(step + 1)); });
    loop.next(batchAt(0));
    expect(seen).toEqual([0, 1, 2]);
    subscription.unsubscribe();
    expect(loop.observed).toBe(false);
  }));

  it('refuses names that would not tell metrics apart', () => {
    expect(() => forkMethods({})).toThrow('at least one method');
    expect(() => forkMethods({ 'a/b': plain(1) })).toThrow('without a slash');
  });
});
