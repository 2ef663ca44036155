import { describe, expect, it } from 'vitest';
import { type DiffAugmentation, diffAugment, parseDiffAugment } from '../../src/models/diffAugment.ts';
import { zeroCentred } from '../../src/losses/penalties.ts';
import { fold, integers, seeded, uniform } from '../../src/random.ts';
import * as tf from '../../src/tf.ts';
import { differsFromDifferences, image } from '../losses/differences.ts';
import { leakFree } from '../support.ts';

const key = seeded(4);
const run = async (x: tf.Tensor4D, policy: readonly DiffAugmentation[], options = {}): Promise<{ before: number[]; after: number[] }> => {
  const y = tf.tidy(() => diffAugment(x, policy, key, options));
  const values = { before: [...await x.data()], after: [...await y.data()] };
  tf.dispose([x, y]);
  return values;
};

describe('diffAugment', () => {
  it('shifts every image by its draw, at most an eighth, and fills by zeros', leakFree(async () => {
    const [b, h, w] = [5, 16, 24];
    const { before, after } = await run(image(1, [b, h, w, 2]), ['translation']);
    const [rows, columns] = [integers(fold(key, 'rows'), b, 5).map((i) => i - 2), integers(fold(key, 'columns'), b, 7).map((i) => i - 3)];
    expect(new Set(columns).size).toBeGreaterThan(2);
    for (let i = 0; i < b; i++) for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) for (let c = 0; c < 2; c++) {
      const [fromY, fromX] = [y + rows[i]!, x + columns[i]!];
      const expected = fromY < 0 || fromY >= h || fromX < 0 || fromX >= w ? 0 : before[((i * h + fromY) * w + fromX) * 2 + c]!;
      if (after[((i * h + y) * w + x) * 2 + c] !== expected) expect([i, y, x, c, after[((i * h + y) * w + x) * 2 + c]]).toEqual(expected);
    }
  }));

  it('cuts out one square of half the side, which may hang over', leakFree(async () => {
    const { after } = await run(tf.ones([40, 8, 10, 1]), ['cutout']);
    const sizes = Array.from({ length: 40 }, (_, i) => {
      const cut = Array.from({ length: 80 }, (_, j) => j).filter((j) => after[i * 80 + j] === 0);
      const [ys, xs] = [new Set(cut.map((j) => Math.floor(j / 10))), new Set(cut.map((j) => j % 10))];
      expect(cut.length).toBe(ys.size * xs.size);
      return [ys.size, xs.size];
    });
    expect(Math.max(...sizes.map(([y]) => y!))).toBe(4);
    expect(Math.max(...sizes.map(([, x]) => x!))).toBe(5);
    expect(Math.min(...sizes.flat())).toBeLessThan(4);
  }));

  it('recolours by brightness, then saturation, then contrast', leakFree(async () => {
    const { before, after } = await run(image(2, [3, 2, 2, 3]), ['color']);
    const draw = (name: string, low: number, high: number): Float32Array => uniform(fold(key, name), 3).map((u) => low + (high - low) * u);
    const [brightness, saturation, contrast] = [draw('brightness', -0.5, 0.5), draw('saturation', 0, 2), draw('contrast', 0.5, 1.5)];
    for (let i = 0; i < 3; i++) {
      const pixels = Array.from({ length: 4 }, (_, j) => before.slice(i * 12 + j * 3, i * 12 + j * 3 + 3).map((x) => x + brightness[i]!));
      const saturated = pixels.map((pixel) => { const m = (pixel[0]! + pixel[1]! + pixel[2]!) / 3; return pixel.map((x) => (x - m) * saturation[i]! + m); }).flat();
      const mean = saturated.reduce((a, b) => a + b, 0) / 12;
      saturated.forEach((x, j) => { expect(after[i * 12 + j]).toBeCloseTo((x - mean) * contrast[i]! + mean, 5); });
    }
  }));

  it('shares geometry between condition and candidate and recolours the candidate only', leakFree(async () => {
    const one = image(3, [4, 8, 8, 3]);
    const { after } = await run(tf.tidy(() => tf.concat([one, one], 3)), ['translation', 'cutout']);
    expect(after.every((x, i) => i % 6 < 3 || x === after[i - 3])).toBe(true);
    const recoloured = await run(tf.tidy(() => tf.concat([one, one], 3)), ['color'], { coloured: 3 });
    expect(recoloured.after.filter((_, i) => i % 6 < 3)).toEqual(recoloured.before.filter((_, i) => i % 6 < 3));
    expect(recoloured.after.filter((_, i) => i % 6 >= 3)).not.toEqual(recoloured.before.filter((_, i) => i % 6 >= 3));
    one.dispose();
  }));

  it('can be differentiated, and twice', leakFree(async () => {
    expect(await differsFromDifferences((x) => tf.sum(tf.square(diffAugment(x as tf.Tensor4D, ['color', 'translation', 'cutout'], key))), image(5, [2, 8, 8, 3]))).toBeLessThan(2e-3);
    expect(await differsFromDifferences((w) => zeroCentred((x) => tf.mul(tf.square(diffAugment(x, ['color', 'translation', 'cutout'], key)), w), image(6, [2, 4, 4, 3])), tf.tensor1d([0.3, -0.4, 0.5]))).toBeLessThan(2e-3);
  }));

  it('reads policies', () => {
    expect(parseDiffAugment('color, translation')).toEqual(['color', 'translation']);
    expect(parseDiffAugment('')).toEqual([]);
    expect(() => parseDiffAugment('color,blur')).toThrow('diffAugment: expected color, translation or cutout but received blur');
    expect(() => tf.tidy(() => diffAugment(tf.zeros([1, 4, 4, 3]), [], key, { coloured: 4 }))).toThrow(RangeError);
  });
});
