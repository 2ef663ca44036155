import { concatMap, from, lastValueFrom, map, toArray } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { adaptAugment, augmentControl } from '../../src/operators/adaptAugment.ts';
import type { Batch } from '../../src/streams/frames.ts';
import { release } from '../../src/streams/mapTensors.ts';
import { free } from '../../src/streams/scoped.ts';
import * as tf from '../../src/tf.ts';
import { batchAt, leakFree } from '../support.ts';
import { keepsTheContract } from './contract.ts';

describe('adaptAugment', () => {
  const logits = (values: number[]) => (batch: Batch) => ({ ...batch, realLogits: tf.tensor1d(values) as tf.Tensor });
  describe('as an operator', () => {
    let control: ReturnType<typeof augmentControl>;
    beforeAll(() => { control = augmentControl(); });
    afterAll(() => { free({ control }); });
    keepsTheContract(() => adaptAugment<ReturnType<ReturnType<typeof logits>>>(control), logits([1, -1]), { readsTensors: false });
  });

  const path = async (values: number[], count: number, p = 0): Promise<number[]> => {
    const control = augmentControl(p);
    const seen = await lastValueFrom(from(Array.from({ length: count }, (_, step) => batchAt(step, ['a', 'b']))).pipe(map(logits(values)), adaptAugment(control, { images: 80, interval: 2, most: 0.1 }),
      concatMap(async (frame) => { const [value] = await frame.metrics['augment.p']!.data(); release(frame); return value as number; }), toArray()));
    free({ control });
    return seen;
  };

  it('raises p while the critic is sure of real images, up to its bound, and lowers it elsewhere', leakFree(async () => {
    (await path([3, 1, 2, 0.5], 6)).forEach((p, i) => { expect(p).toBeCloseTo([0, 0.05, 0.05, 0.1, 0.1, 0.1][i]!, 6); });
    // Half of them positive: a mean sign of 0.
    (await path([3, -1], 5, 0.07)).forEach((p, i) => { expect(p).toBeCloseTo([0.07, 0.02, 0.02, 0, 0][i]!, 6); });
  }));

  it('says what is wrong with its options', leakFree(() => {
    const control = augmentControl();
    expect(() => adaptAugment(control, { interval: 0 })).toThrow(RangeError);
    expect(() => adaptAugment(control, { images: -1 })).toThrow('adaptAugment: expected positive images and most in (0, 1] but received -1 and 1');
    free({ control });
  }));
});
