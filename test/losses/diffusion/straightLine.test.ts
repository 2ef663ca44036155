import { describe, expect, it } from 'vitest';
import { antiCollapse, commonDirection, commonShift, followShift, oneLine, straightFlow } from '../../../src/losses/diffusion/straightLine.ts';
import { eigenvalues, lineMeasures, ridgeR2 } from '../../../src/losses/diffusion/straightLineMeasures.ts';
import { gradientsOf } from '../../../src/models/tape.ts';
import { normal, seeded } from '../../../src/random.ts';
import * as tf from '../../../src/tf.ts';
import { leakFree } from '../../support.ts';

const [pairs, size] = [400, 64];
const rows = (seed: number, count = pairs, width = size): number[][] => { const flat = normal(seeded(seed), count * width); return Array.from({ length: count }, (_, i) => Array.from(flat.subarray(i * width, (i + 1) * width))); };
const shift = Array.from({ length: size }, (_, k) => (k === 0 ? 8 : 0));
const a = rows(1);
const others = rows(2);
const exact = a.map((row) => row.map((value, k) => value + (shift[k] as number)));
const noisy = exact.map((row, i) => row.map((value, k) => value + 0.5 * (others[i]?.[k] as number)));
const read = async (f: () => tf.Tensor): Promise<number> => { const x = tf.tidy(f); const [value] = await x.data(); x.dispose(); return value as number; };

describe('measures', () => {
  it('of an exact shift: parallel, of rank one, nothing left', () => {
    const found = lineMeasures(a, exact);
    expect(found.resultant).toBeCloseTo(1, 10);
    expect(found.rankOne).toBeCloseTo(1, 10);
    expect(found.residual).toBeCloseTo(0, 10);
    expect(found.shift).toBeCloseTo(0, 10);
  });
  it('of a shift of length 8 with noise .5 in 64 dimensions: resultant .894, rank-one share .803, shift .2', () => {
    const found = lineMeasures(a, noisy);
    expect(found.resultant).toBeCloseTo(0.894, 1);
    expect(found.rankOne).toBeCloseTo(0.803, 1);
    expect(found.shift).toBeCloseTo(0.2, 1);
    expect(found.effectiveRank).toBeGreaterThan(50);
  });
  it('of independent latents: resultant about 1 / sqrt(n)', () => {
    const found = lineMeasures(a, rows(7));
    expect(found.resultant).toBeLessThan(3 / Math.sqrt(pairs));
    expect(found.rankOne).toBeLessThan(0.08);
  });
  it('do not change when all latents are doubled', () => {
    const twice = (list: number[][]): number[][] => list.map((row) => row.map((value) => 2 * value));
    const [one, two] = [lineMeasures(a, noisy), lineMeasures(twice(a), twice(noisy))];
    for (const key of Object.keys(one) as (keyof typeof one)[]) expect(two[key] / one[key]).toBeCloseTo(1, 5);
  });
  it('a linear map is seen by ridge regression, chance is not', () => {
    const [x, chance] = [rows(3, 200, 4), rows(4, 200, 2)];
    expect(ridgeR2(x, x.map(([p, q, r]) => [(p as number) - (q as number), 2 * (r as number)]))).toBeGreaterThan(0.99);
    expect(ridgeR2(x, chance)).toBeLessThan(0.05);
    expect(() => ridgeR2([[1]], [[1]])).toThrow(RangeError);
  });
  it('come out the same by way of the pairs, where there are fewer of them than dimensions', () => {
    // Zeros in more dimensions change no measure but the mean variance per dimension.
    const wide = (list: number[][]): number[][] => list.map((row) => [...row, ...Array.from({ length: 400 }, () => 0)]);
    const few = (list: number[][]): number[][] => list.slice(0, 100);
    const [narrow, long] = [lineMeasures(few(a), few(noisy)), lineMeasures(wide(few(a)), wide(few(noisy)))];
    for (const key of Object.keys(narrow) as (keyof typeof narrow)[]) expect(long[key], key).toBeCloseTo(narrow[key], 6);
    const [x, y] = [rows(5, 60, 8), rows(6, 60, 8).map((row, i) => row.map((value, k) => 0.1 * value + (rows(5, 60, 8)[i]?.[7 - k] as number)))];
    const [straight, around] = [ridgeR2(x, y, { ridge: 1e-3 }), ridgeR2(x.map((row) => [...row, ...Array.from({ length: 100 }, () => 0)]), y, { ridge: 1e-3 * 108 / 8 })];
    expect(around).toBeCloseTo(straight, 6);
    expect(straight).toBeGreaterThan(0.9);
  });
  it('eigenvalues are those of a known matrix', () => {
    const found = eigenvalues([[2, 1, 0], [1, 2, 0], [0, 0, 5]]);
    [5, 3, 1].forEach((value, i) => expect(found[i]).toBeCloseTo(value, 10));
  });
  it('refuses unequal latents', () => expect(() => lineMeasures([[1], [2]], [[1, 2], [3, 4]])).toThrow(RangeError));
});

describe('regularisers', () => {
  const both = (f: (source: tf.Tensor2D, target: tf.Tensor2D) => tf.Tensor, targets = noisy, scale = 1): Promise<number> => read(() => f(tf.mul(tf.tensor2d(a), scale), tf.mul(tf.tensor2d(targets), scale)));
  it('are 0 for an exact shift along their vector', leakFree(async () => {
    expect(await both((s, t) => commonShift(s, t, tf.tensor1d(shift)), exact)).toBeLessThan(1e-8);
    expect(await both((s, t) => commonDirection(s, t, tf.tensor1d(shift)), exact)).toBeLessThan(1e-4);
    expect(await both((s, t) => straightFlow(tf.sub(t, s), s, t), exact)).toBe(0);
  }));
  it('the shift with noise .5 measures .2, and any scale leaves all as they are', leakFree(async () => {
    expect(await both((s, t) => commonShift(s, t, tf.tensor1d(shift)))).toBeCloseTo(0.2, 1);
    for (const f of [
      (s: tf.Tensor2D, t: tf.Tensor2D, scale: number) => commonShift(s, t, tf.tensor1d(shift.map((x) => x * scale))),
      (s: tf.Tensor2D, t: tf.Tensor2D, scale: number) => commonDirection(s, t, tf.tensor1d(shift.map((x) => x * scale))),
      (s: tf.Tensor2D, t: tf.Tensor2D) => oneLine(tf.concat([s, t], 0)),
    ]) expect(await both((s, t) => f(s, t, 2), noisy, 2) / await both((s, t) => f(s, t, 1))).toBeCloseTo(1, 3);
  }));
  it('one line: 0 on a line, more than half on a cloud; its gradient is that of finite differences', leakFree(async () => {
    const line = a.slice(0, 8).map(([t]) => [1 + 2 * (t as number), -(t as number), 3]);
    expect(await read(() => oneLine(tf.tensor2d(line)))).toBeLessThan(1e-5);
    expect(await read(() => oneLine(tf.tensor2d(a)))).toBeGreaterThan(0.5);
    const points = a.slice(0, 5).map((row, i) => [(row[0] as number) * 3 + i, row[1] as number, row[2] as number]);
    const moved = (by: number): Promise<number> => read(() => oneLine(tf.tensor2d(points.map((row, i) => (i === 2 ? [row[0] as number, (row[1] as number) + by, row[2] as number] : row))), { iterations: 40 }));
    const slope = ((await moved(1e-2)) - (await moved(-1e-2))) / 2e-2;
    const gradient = await read(() => { const x = tf.tensor2d(points); return tf.slice(gradientsOf([x], () => ({ loss: oneLine(x, { iterations: 40 }), extra: {} })).grads[0] as tf.Tensor, [2, 1], [1, 1]); });
    expect(gradient).toBeCloseTo(slope, 2);
  }));
  it('anti-collapse: little for whitened latents, much for shrunken or repeated ones', leakFree(async () => {
    const white = await read(() => antiCollapse(tf.tensor2d(a)));
    expect(white).toBeLessThan(0.1);
    expect(await read(() => antiCollapse(tf.mul(tf.tensor2d(a), 0.01)))).toBeGreaterThan(0.9);
    expect(await read(() => antiCollapse(tf.tensor2d(a.map((row) => row.map(() => row[0] as number)))))).toBeGreaterThan(1);
    tf.tidy(() => { expect(() => antiCollapse(tf.zeros([1, 3]))).toThrow(RangeError); });
  }));
  it('a followed shift arrives at the mean displacement', leakFree(async () => {
    expect(await read(() => { let at = tf.zeros([size]) as tf.Tensor1D; for (let i = 0; i < 60; i++) at = followShift(at, tf.tensor2d(a), tf.tensor2d(exact), 0.8); return tf.max(tf.abs(tf.sub(at, tf.tensor1d(shift)))); })).toBeLessThan(1e-3);
  }));
});
