import { Subject, map, take, tap } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { creditGate } from '../../src/streams/creditGate.ts';
import { filterFrames } from '../../src/streams/filterFrames.ts';
import type { Batch } from '../../src/streams/frames.ts';
import { mapTensors, OperatorError } from '../../src/streams/mapTensors.ts';
import { releaseFrames } from '../../src/streams/releaseFrames.ts';
import * as tf from '../../src/tf.ts';
import { batchAt, leakFree, marbles, steps } from '../support.ts';

const loaded = mapTensors('load', (batch: Batch) => ({ ...batch, x: tf.scalar(batch.step) }));
const isEven = ({ step }: Batch): boolean => step % 2 === 0;

describe('filterFrames', () => {
  it('frees the frames it drops and returns their credit', leakFree(marbles(({ cold, expectObservable, expectSubscriptions }) => {
    const dropped: number[] = [];
    const gate = { drop: ({ step }: Batch) => { dropped.push(step); } };
    const source = cold('-a-b-c-|', { a: batchAt(0), b: batchAt(1), c: batchAt(2) });
    const result = source.pipe(loaded, filterFrames(gate, isEven), releaseFrames(), map(({ step }) => step), tap({ complete: () => { expect(dropped).toEqual([1]); } }));
    expectObservable(result).toBe('-a---c-|', { a: 0, c: 2 });
    expectSubscriptions(source.subscriptions).toBe('^------!');
  })));

  it.each([['|', '|'], ['-', '-'], ['-#', '-#']])('passes on the end of %s', (marble, expected) => {
    marbles(({ cold, expectObservable }) => {
      expectObservable(cold<Batch>(marble).pipe(filterFrames({ drop: () => {} }, isEven))).toBe(expected);
    })();
  });

  it('releases its source on early unsubscription', leakFree(marbles(({ cold, expectObservable, expectSubscriptions }) => {
    const source = cold<Batch>('-a-b-----|', { a: batchAt(0), b: batchAt(1) });
    expectObservable(source.pipe(loaded, filterFrames({ drop: () => {} }, isEven), releaseFrames(), map(({ step }) => step)), '^---!').toBe('-a', { a: 0 });
    expectSubscriptions(source.subscriptions).toBe('^---!');
  })));

  it('can be re-entered, from its result and from the gate it gives a credit back to', leakFree(() => {
    const seen: number[] = [];
    const loop = new Subject<Batch>();
    const gate = { drop: ({ step }: Batch) => { loop.next(batchAt(step + 1)); } };
    const subscription = loop.pipe(loaded, filterFrames(gate, isEven), releaseFrames()).subscribe(({ step }) => { seen.push(step); if (step < 4) loop.next(batchAt(step + 1)); });
    loop.next(batchAt(0));
    expect(seen).toEqual([0, 2, 4]);
    subscription.unsubscribe();
    expect(loop.observed).toBe(false);
  }));

  it('keeps a gate of one credit running, in a chain that is synchronous', leakFree(() => {
    const gate = creditGate(1);
    const seen: number[] = [];
    gate.pull(steps()).pipe(gate.inTurn(), loaded, filterFrames(gate, isEven), releaseFrames(), gate.settle(), take(4)).subscribe(({ step }) => { seen.push(step); });
    expect(seen).toEqual([0, 2, 4, 6]);
  }));

  it('does not grow the stack when it drops 100,000 in a row', () => {
    const gate = creditGate(1);
    let last = 0;
    gate.pull(steps()).pipe(filterFrames(gate, ({ step }) => step === 100_000), gate.settle(), take(1)).subscribe(({ step }) => { last = step; });
    expect(last).toBe(100_000);
  });

  it('frees the frame and names itself when the predicate throws', leakFree(() => {
    let error: unknown;
    const gate = creditGate(1);
    gate.pull(steps()).pipe(loaded, filterFrames(gate, () => { throw new Error('no opinion'); })).subscribe({ error: (cause) => { error = cause; } });
    expect(error).toBeInstanceOf(OperatorError);
    expect((error as Error).message).toBe('filterFrames failed at step 0 on [image0]: no opinion');
  }));
});
