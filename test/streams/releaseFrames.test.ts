import { map } from 'rxjs';
import { describe, expect, it } from 'vitest';
import type { Batch } from '../../src/streams/frames.ts';
import { releaseFrames } from '../../src/streams/releaseFrames.ts';
import * as tf from '../../src/tf.ts';
import { keepsTheContract } from '../operators/contract.ts';
import { batchAt, leakFree, marbles } from '../support.ts';

const load = (batch: Batch) => ({ ...batch, x: tf.scalar(batch.step), more: { y: [tf.scalar(1)] } });

describe('releaseFrames', () => {
  keepsTheContract(() => releaseFrames(), load, { readsTensors: false });

  it('frees every tensor, at any depth, and passes on names and position', leakFree(marbles(({ cold, expectObservable, expectSubscriptions }) => {
    const source = cold('-a-b-|', { a: batchAt(0), b: batchAt(1) });
    expectObservable(source.pipe(map(load), releaseFrames())).toBe('-a-b-|', { a: batchAt(0), b: batchAt(1) });
    expectSubscriptions(source.subscriptions).toBe('^----!');
  })));
});
