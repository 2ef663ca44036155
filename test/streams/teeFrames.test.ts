import { type OperatorFunction, Subject, from, map, pipe, take } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { creditGate } from '../../src/streams/creditGate.ts';
import type { Batch } from '../../src/streams/frames.ts';
import { mapTensors } from '../../src/streams/mapTensors.ts';
import { releaseFrames } from '../../src/streams/releaseFrames.ts';
import { settle } from '../../src/streams/settle.ts';
import { teeFrames } from '../../src/streams/teeFrames.ts';
import * as tf from '../../src/tf.ts';
import { batchAt, leakFree, marbles, steps } from '../support.ts';

type Loaded = Batch & Readonly<{ x: tf.Scalar }>;
const loaded = mapTensors('load', (batch: Batch): Loaded => ({ ...batch, x: tf.scalar(batch.step) }));
const scaled = (factor: number): OperatorFunction<Loaded, Batch> => pipe(
  mapTensors('scale', (frame: Loaded) => ({ ...frame, x: tf.mul(frame.x, factor) })),
  releaseFrames(),
);
const batches = { a: batchAt(0), b: batchAt(1) };

describe('teeFrames', () => {
  it('gives each branch clones of its own and frees the frame itself', leakFree(async () => {
    const measured = (factor: number) => pipe(
      mapTensors('scale', (frame: Loaded) => ({ ...frame, metrics: { x: tf.mul(frame.x, factor) as tf.Scalar } })),
      settle<Loaded & { metrics: Record<string, tf.Scalar> }>(),
    );
    const seen: unknown[] = [];
    await from(steps(3)).pipe(loaded, teeFrames(measured(2), measured(3))).forEach(([two, three]) => { seen.push([two.metrics, three.metrics]); });
    expect(seen).toEqual([0, 1, 2].map((step) => [{ x: 2 * step }, { x: 3 * step }]));
  }));

  it('emits when the last branch is through', leakFree(marbles(({ cold, expectObservable, expectSubscriptions }) => {
    const source = cold('-a-b-|', batches);
    const result = source.pipe(loaded, teeFrames(scaled(1), scaled(2)), map(([one, two]) => [one.step, two.step]));
    expectObservable(result).toBe('-a-b-|', { a: [0, 0], b: [1, 1] });
    expectSubscriptions(source.subscriptions).toBe('^----!');
  })));

  it.each([['|'], ['-'], ['-#']])('passes on the end of %s', (marble) => {
    marbles(({ cold, expectObservable }) => { expectObservable(cold<Loaded>(marble).pipe(teeFrames(scaled(1), scaled(2)))).toBe(marble); })();
  });

  it('fails with a branch, and frees', leakFree(marbles(({ cold, expectObservable, expectSubscriptions }) => {
    const source = cold('-a-b-|', batches);
    const failing = pipe(scaled(1), map((batch): Batch => { if (batch.step === 1) throw new Error('branch'); return batch; }));
    expectObservable(source.pipe(loaded, teeFrames(scaled(2), failing), map(([{ step }]) => step))).toBe('-a-#', { a: 0 }, new Error('branch'));
    expectSubscriptions(source.subscriptions).toBe('^--!');
  })));

  it('ends with the first branch to end, and releases its source', leakFree(marbles(({ cold, expectObservable, expectSubscriptions }) => {
    const source = cold('-a-b-a-b-', batches);
    expectObservable(source.pipe(loaded, teeFrames(scaled(2), pipe(scaled(1), take(1))), map(([{ step }]) => step))).toBe('-(a|)', { a: 0 });
    expectSubscriptions(source.subscriptions).toBe('^!');
  })));

  it('releases source and tensors on early unsubscription', leakFree(marbles(({ cold, expectObservable, expectSubscriptions }) => {
    const source = cold('-a-b-|', batches);
    expectObservable(source.pipe(loaded, teeFrames(scaled(1), scaled(2)), map(([{ step }]) => step)), '^-!').toBe('-a', { a: 0 });
    expectSubscriptions(source.subscriptions).toBe('^-!');
  })));

  it('counts as one batch with its gate, and is cut by take over a synchronous source', leakFree(() => {
    const gate = creditGate(2);
    const seen: number[] = [];
    gate.pull(steps()).pipe(gate.inTurn(), loaded, teeFrames(scaled(1), scaled(2)), map(([batch]) => batch), gate.settle(), take(3)).subscribe(({ step }) => { seen.push(step); });
    expect(seen).toEqual([0, 1, 2]);
    expect(gate.stats.maxInFlight).toBe(1);
  }));

  it('can be re-entered', leakFree(() => {
    const seen: number[] = [];
    const loop = new Subject<Batch>();
    const subscription = loop.pipe(loaded, teeFrames(scaled(1), scaled(2)), map(([batch]) => batch)).subscribe(({ step }) => { seen.push(step); if (step < 2) loop.next(batchAt(step + 1)); });
    loop.next(batchAt(0));
    expect(seen).toEqual([0, 1, 2]);
    subscription.unsubscribe();
    expect(loop.observed).toBe(false);
  }));

  it('refuses to be called without branches', () => { expect(() => teeFrames()).toThrow(RangeError); });
});
