import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fold, integers, normal, permute, seeded, threefry2x32, uniform } from '../src/random.ts';

const hex = (words: readonly number[]): string[] => words.map((word) => word.toString(16).padStart(8, '0'));
const mean = (values: ArrayLike<number>): number => Array.from(values).reduce((sum, x) => sum + x, 0) / values.length;
const moment = (values: ArrayLike<number>, order: number): number => mean(Array.from(values, (x) => x ** order));

describe('threefry2x32', () => {
  // Known-answer vectors of the Random123 library, 20 rounds.
  it.each([
    [[0, 0], [0, 0], ['6b200159', '99ba4efe']],
    [[0xffffffff, 0xffffffff], [0xffffffff, 0xffffffff], ['1cb996fc', 'bb002be7']],
    [[0x13198a2e, 0x03707344], [0x243f6a88, 0x85a308d3], ['c4923a9c', '483df7a0']],
  ] as const)('gives the published block for key %s, counter %s', (key, [c0, c1], expected) => {
    expect(hex(threefry2x32(key, c0, c1))).toEqual(expected);
  });
});

describe('fold', () => {
  it('gives distinct keys for distinct paths, and the same for the same', () => {
    const root = seeded(3);
    const keys = [fold(root, 'a'), fold(root, 'b'), fold(root, 0), fold(root, 1), fold(root, 2 ** 40), fold(root, 'a', 0), fold(root, 0, 'a'), fold(root, ''), seeded(4), root];
    expect(new Set(keys.map((key) => hex(key).join(''))).size).toBe(keys.length);
    expect(fold(root, 'a', 5)).toEqual(fold(fold(root, 'a'), 5));
  });
  it.each([-1, 0.5, Number.NaN, 2 ** 53])('refuses %s as a part', (part) => {
    expect(() => fold(seeded(0), part)).toThrow(/fold: expected a non-negative integer but received/);
  });
});

describe('uniform', () => {
  const values = uniform(fold(seeded(1), 'uniform'), 100_001);
  it('lies in [0, 1) with the moments of the uniform law', () => {
    expect(Math.min(...values.subarray(0, 50_000))).toBeGreaterThanOrEqual(0);
    expect(Math.max(...values.subarray(0, 50_000))).toBeLessThan(1);
    // five standard errors: sqrt(1/12 / n), sqrt(4/45 / n)
    expect(Math.abs(mean(values) - 1 / 2)).toBeLessThan(5 * Math.sqrt(1 / 12 / values.length));
    expect(Math.abs(moment(values, 2) - 1 / 3)).toBeLessThan(5 * Math.sqrt(4 / 45 / values.length));
  });
  it('is uncorrelated with its neighbour, within a block and across', () => {
    const lagged = mean(Array.from(values.subarray(1), (x, i) => (x - 0.5) * ((values[i] as number) - 0.5)));
    expect(Math.abs(lagged)).toBeLessThan(5 / 12 / Math.sqrt(values.length));
  });
  it('draws the same prefix whatever the count', () => {
    expect(uniform(seeded(1), 3)).toEqual(uniform(seeded(1), 8).slice(0, 3));
  });
});

describe('normal', () => {
  const values = normal(fold(seeded(1), 'normal'), 100_000);
  it('is finite and has the moments of the unit normal law', () => {
    expect(values.every(Number.isFinite)).toBe(true);
    const n = values.length;
    // variances of x, x^2, x^3, x^4 under the law: 1, 2, 15, 96
    expect(Math.abs(moment(values, 1))).toBeLessThan(5 * Math.sqrt(1 / n));
    expect(Math.abs(moment(values, 2) - 1)).toBeLessThan(5 * Math.sqrt(2 / n));
    expect(Math.abs(moment(values, 3))).toBeLessThan(5 * Math.sqrt(15 / n));
    expect(Math.abs(moment(values, 4) - 3)).toBeLessThan(5 * Math.sqrt(96 / n));
  });
  it('is independent within a block', () => {
    const products = Array.from({ length: values.length / 2 }, (_, i) => (values[2 * i] as number) * (values[2 * i + 1] as number));
    expect(Math.abs(mean(products))).toBeLessThan(5 / Math.sqrt(products.length));
  });
});

describe('integers', () => {
  it('fills 0..below-1 evenly', () => {
    const counts = new Array<number>(7).fill(0);
    for (const value of integers(seeded(5), 70_000, 7)) counts[value] = (counts[value] as number) + 1;
    const chiSquared = counts.reduce((sum, count) => sum + (count - 10_000) ** 2 / 10_000, 0);
    expect(chiSquared).toBeLessThan(27.9); // 6 degrees of freedom, p = 1e-4
  });
  it.each([0, -3, 1.5])('refuses a bound of %s', (below) => {
    expect(() => integers(seeded(0), 1, below)).toThrow(/integers: expected a positive bound but received/);
  });
});

describe('permute', () => {
  it('is a bijection for every length', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 3000 }), fc.nat(), (length, seed) => {
      const seen = new Uint8Array(length);
      for (let i = 0; i < length; i++) seen[permute(fold(seeded(seed), 'shuffle'), length, i)] = 1;
      return seen.every((mark) => mark === 1);
    }), { numRuns: 60 });
    for (let length = 1; length <= 70; length++) {
      expect(new Set(Array.from({ length }, (_, i) => permute(seeded(length), length, i))).size).toBe(length);
    }
  });
  it('stays inside lengths far beyond what can be listed', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 2 ** 40 }), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (length, share) => {
      const to = permute(seeded(1), length, Math.floor(share * length));
      return Number.isInteger(to) && to >= 0 && to < length;
    }));
  });
  it.each([2, 3, 5, 8, 80])('sends a place anywhere with the same chance (length %i)', (length) => {
    const trials = 400 * length;
    const counts = new Array<number>(length).fill(0);
    for (let seed = 0; seed < trials; seed++) {
      const to = permute(fold(seeded(9), seed), length, 0);
      counts[to] = (counts[to] as number) + 1;
    }
    const chiSquared = counts.reduce((sum, count) => sum + (count - 400) ** 2 / 400, 0);
    expect(chiSquared).toBeLessThan(length - 1 + 5 * Math.sqrt(2 * (length - 1)) + 8);
  });
  it('separates neighbours: the distance of two is that of a random pair', () => {
    const length = 1000;
    const key = fold(seeded(2), 'shuffle', 0);
    const order = Array.from({ length }, (_, i) => permute(key, length, i));
    const apart = mean(order.slice(1).map((to, i) => Math.abs(to - (order[i] as number))));
    expect(apart).toBeGreaterThan(300); // a random pair is length / 3 apart
    expect(apart).toBeLessThan(367);
  });
  it.each([[3, 3], [-1, 3], [0.5, 3]])('refuses place %d of %d', (index, length) => {
    expect(() => permute(seeded(0), length, index)).toThrow(/permute: expected an index in 0..2 but received/);
  });
});
