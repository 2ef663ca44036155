import { describe, expect, it } from 'vitest';
import { normal, seeded } from '../../src/random.ts';
import { pairedBootstrap } from '../../src/run/bootstrap.ts';

const key = seeded(3);

describe('pairedBootstrap', () => {
  it('has no width where every pair differs by the same', () => {
    expect(pairedBootstrap([3, 5, 9], [1, 3, 7], { key })).toEqual({ mean: 2, low: 2, high: 2 });
  });

  it('has the exact percentiles of two pairs: means 0, 1/2 and 1 with chances 1/4, 1/2, 1/4', () => {
    const at = (level: number) => pairedBootstrap([0, 1], [0, 0], { key, level });
    expect(at(0.95)).toEqual({ mean: 0.5, low: 0, high: 1 });
    // Between the quartiles with some room for chance, all resampled means are 1/2.
    expect(at(0.4)).toEqual({ mean: 0.5, low: 0.5, high: 0.5 });
  });

  it('agrees with the normal approximation on many pairs: mean +- 1.96 s / sqrt(n)', () => {
    const count = 400;
    const differences = Array.from(normal(seeded(9), count), (value) => 0.3 + 2 * value);
    const base = Array.from(normal(seeded(10), count), (value) => 20 + 5 * value);
    const { mean, low, high } = pairedBootstrap(base.map((value, i) => value + (differences[i] as number)), base, { key });
    const expected = differences.reduce((x, y) => x + y, 0) / count;
    const deviation = Math.sqrt(differences.reduce((sum, value) => sum + (value - expected) ** 2, 0) / count);
    const half = 1.96 * deviation / Math.sqrt(count);
    expect(mean).toBeCloseTo(expected, 6);
    expect(Math.abs((high - low) / (2 * half) - 1)).toBeLessThan(0.08);
    expect(Math.abs((high + low) / 2 - expected)).toBeLessThan(0.1 * half);
  });

  it('is paired: a shuffled side has the same mean and a wider interval', () => {
    const a = Array.from({ length: 20 }, (_, i) => i + 0.1);
    const b = Array.from({ length: 20 }, (_, i) => i);
    const paired = pairedBootstrap(a, b, { key });
    const shuffled = pairedBootstrap(a, b.toReversed(), { key });
    expect(paired.mean).toBeCloseTo(0.1, 9);
    expect(shuffled.mean).toBeCloseTo(0.1, 9);
    expect(shuffled.high - shuffled.low).toBeGreaterThan(1000 * (paired.high - paired.low));
  });

  it('turns its sign with its sides, and follows from its key', () => {
    const [a, b] = [[1, 4, 2, 8], [0, 5, 1, 3]];
    const one = pairedBootstrap(a, b, { key });
    const other = pairedBootstrap(b, a, { key });
    expect([other.mean, other.low, other.high]).toEqual([-one.mean, -one.high, -one.low].map((x) => expect.closeTo(x, 12)));
    expect(pairedBootstrap(a, b, { key })).toEqual(one);
  });

  it('refuses what is not paired', () => {
    expect(() => pairedBootstrap([1], [1, 2], { key })).toThrow('received 1 and 2');
    expect(() => pairedBootstrap([], [], { key })).toThrow('at least one pair');
    expect(() => pairedBootstrap([1], [1], { key, level: 1 })).toThrow('level in (0, 1)');
    expect(() => pairedBootstrap([1], [1], { key, resamples: 0 })).toThrow('resamples');
  });
});
