import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ImageFile, PairFile } from '../../src/data/dataset.ts';
import { pairBatches } from '../../src/streams/pairBatches.ts';

const image: ImageFile = { path: 'x.png', file: 'x.png', bytes: 1, mtimeMs: 0, hash: '', part: 'whole' };
const pairs = (count: number): PairFile[] => Array.from({ length: count }, (_, i) => ({ id: `p${i}`, source: image, target: image }));
const take = (count: number, ...args: Parameters<typeof pairBatches>) => {
  const items = pairBatches(...args)[Symbol.iterator]();
  return Array.from({ length: count }, () => items.next().value!);
};

describe('pairBatches', () => {
  it('shows every pair once an epoch, whatever the batch', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 9 }), fc.integer({ min: 0, max: 1000 }), (count, batch, seed) => {
      const seen = take(Math.ceil((3 * count) / batch), pairs(count), { batch, seed }).flatMap(({ ids }) => ids);
      for (let epoch = 0; epoch < 3; epoch++) expect(new Set(seen.slice(epoch * count, (epoch + 1) * count)).size).toBe(count);
    }));
  });

  it('is at any step what it would have come to', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 0, max: 30 }), (count, from) => {
      const whole = take(from + 3, pairs(count), { batch: 3, seed: 1 });
      expect(take(3, pairs(count), { batch: 3, seed: 1, from })).toEqual(whole.slice(from));
    }));
  });

  it('fills batches larger than the dataset, and counts epochs', () => {
    const [first, second] = take(2, pairs(2), { batch: 5, seed: 0 });
    expect(first?.ids).toHaveLength(5);
    expect([first?.epoch, second?.epoch]).toEqual([0, 2]);
  });

  it('shuffles differently by seed and by epoch', () => {
    const order = (seed: number, from: number) => take(1, pairs(30), { batch: 30, seed, from })[0]?.ids;
    expect(order(0, 0)).not.toEqual(order(1, 0));
    expect(order(0, 0)).not.toEqual(order(0, 1));
    expect(order(0, 1)).toEqual(order(0, 1));
  });

  it('ends before `steps`, and starts again with every iteration', () => {
    const batches = pairBatches(pairs(4), { batch: 1, seed: 0, from: 2, steps: 5 });
    expect([...batches].map(({ step }) => step)).toEqual([2, 3, 4]);
    expect([...batches].map(({ step }) => step)).toEqual([2, 3, 4]);
  });

  it.each([
    [[], { batch: 1, seed: 0 }, /at least one pair/],
    [pairs(1), { batch: 0, seed: 0 }, /batch to be a positive integer but received 0/],
    [pairs(1), { batch: 1, seed: 0, from: -1 }, /from to be a step, 0 or more, but received -1/],
  ] as const)('refuses %#', (some, options, text) => { expect(() => pairBatches(some, options)).toThrow(text); });
});
