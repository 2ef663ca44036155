import { Subject, concat, from, lastValueFrom, map, of, take, throwError, toArray } from 'rxjs';
import { describe, expect, it } from 'vitest';
import type { Batch, Measured } from '../../src/streams/frames.ts';
import { OperatorError } from '../../src/streams/mapTensors.ts';
import { settle } from '../../src/streams/settle.ts';
import * as tf from '../../src/tf.ts';
import { batchAt, leakFree, marbles, steps } from '../support.ts';

type Loaded = Batch & Measured & Readonly<{ x: tf.Tensor }>;
const load = (batch: Batch): Loaded => ({ ...batch, x: tf.ones([4]), metrics: { 'net.loss': tf.scalar(batch.step + 0.5), 'net.finite': tf.scalar(1) } });
const pause = (): Promise<void> => new Promise((resolve) => { setTimeout(resolve, 20); });

describe('settle', () => {
  it('reads the metrics as numbers, in order, and frees the frame', leakFree(async () => {
    const seen = await lastValueFrom(from(steps(3)).pipe(map(load), settle(), toArray()));
    expect(seen).toEqual([0, 1, 2].map((step) => ({ ...batchAt(step), metrics: { 'net.loss': step + 0.5, 'net.finite': 1 } })));
  }));

  it('frees the frame at once, before the engine has run', leakFree(async () => {
    const before = tf.memory().numTensors;
    const done = lastValueFrom(of(batchAt(0)).pipe(map(load), settle()));
    // The one small tensor that holds the metrics.
    expect(tf.memory().numTensors - before).toBe(1);
    await done;
  }));

  it.each([['|'], ['-'], ['#']])('passes on the end of %s', (marble) => {
    marbles(({ cold, expectObservable }) => { expectObservable(cold<Loaded>(marble).pipe(settle())).toBe(marble); })();
  });

  it('fails with its source, after or before the frames under way', leakFree(async () => {
    let failure: unknown;
    concat(from(steps(1)).pipe(map(load)), throwError(() => new Error('decode'))).pipe(settle()).subscribe({ error: (error: unknown) => { failure = error; } });
    await pause();
    expect(failure).toEqual(new Error('decode'));
  }));

  it('frees on early unsubscription', leakFree(async () => {
    const subscription = from(steps(2)).pipe(map(load), settle()).subscribe();
    subscription.unsubscribe();
    await pause();
  }));

  it('is cut by take', leakFree(async () => {
    const seen = await lastValueFrom(from(steps(5)).pipe(map(load), take(4), settle(), take(4), toArray()));
    expect(seen.map(({ step }) => step)).toEqual([0, 1, 2, 3]);
    // Frames that wait when it is cut are freed too.
    expect((await lastValueFrom(from(steps(5)).pipe(map(load), settle(), take(2), toArray()))).map(({ step }) => step)).toEqual([0, 1]);
    await pause();
  }));

  it('can be re-entered, while a frame is under way and from its result', leakFree(async () => {
    const loop = new Subject<Batch>();
    const seen: number[] = [];
    const done = lastValueFrom(loop.pipe(map(load), settle(), take(4)));
    loop.pipe(map(load), settle(), take(4)).subscribe(({ step }) => { seen.push(step); if (step === 1) { loop.next(batchAt(2)); loop.next(batchAt(3)); } });
    loop.next(batchAt(0));
    loop.next(batchAt(1));
    await done;
    await pause();
    expect(seen).toEqual([0, 1, 2, 3]);
    expect(loop.observed).toBe(false);
  }));

  it('names the step when the metrics cannot be read together, and frees', leakFree(async () => {
    const uneven = (batch: Batch): Loaded => ({ ...batch, x: tf.ones([4]), metrics: { a: tf.scalar(1), b: tf.ones([2]) as unknown as tf.Scalar } });
    await expect(lastValueFrom(of(batchAt(5)).pipe(map(uneven), settle()))).rejects.toBeInstanceOf(OperatorError);
  }));
});
