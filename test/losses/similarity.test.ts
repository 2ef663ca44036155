import { describe, expect, it, vi } from 'vitest';
import { charbonnier } from '../../src/losses/charbonnier.ts';
import { edge } from '../../src/losses/edge.ts';
import { klDivergence } from '../../src/losses/kl.ts';
import { l1 } from '../../src/losses/l1.ts';
import { msSsim } from '../../src/losses/msSsim.ts';
import { mse } from '../../src/losses/mse.ts';
import { averagePool } from '../../src/losses/pool.ts';
import { pooledMse } from '../../src/losses/pooledMse.ts';
import { pseudoHuber } from '../../src/losses/pseudoHuber.ts';
import { psnr } from '../../src/losses/psnr.ts';
import { sharpness } from '../../src/losses/sharpness.ts';
import { ssim, ssimMaps } from '../../src/losses/ssim.ts';
import * as tf from '../../src/tf.ts';
import { leakFree } from '../support.ts';
import { differsFromDifferences, image } from './differences.ts';

const numbers = async (f: () => tf.Tensor): Promise<number[]> => {
  const value = tf.tidy(f);
  const data = [...await value.data()];
  value.dispose();
  return data;
};

/** Red rises along x, green along y, blue is 0.5. */
const ramps = (size: number): tf.Tensor4D => tf.tensor4d(Float32Array.from({ length: size * size * 3 }, (_, i) =>
  [Math.floor(i / 3) % size / (size - 1), Math.floor(i / (3 * size)) / (size - 1), 0.5][i % 3]!), [1, size, size, 3]);
/** a[c, y, x] = ((3x + 5y + 7c) mod 32) / 31 */
const pattern = (size: number): tf.Tensor4D => tf.tensor4d(Float32Array.from({ length: size * size * 3 }, (_, i) =>
  ((3 * (Math.floor(i / 3) % size) + 5 * Math.floor(i / (3 * size)) + 7 * (i % 3)) % 32) / 31), [1, size, size, 3]);

describe('psnr', () => {
  it('is 20 dB for an error of a tenth of the range, image by image', leakFree(async () => {
    const values = await numbers(() => psnr(tf.concat([tf.zeros([1, 4, 4, 3]), tf.fill([1, 4, 4, 3], 0.01)], 0) as tf.Tensor4D, tf.concat([tf.fill([1, 4, 4, 3], 0.1), tf.zeros([1, 4, 4, 3])], 0) as tf.Tensor4D, { range: 1 }));
    expect(values[0]).toBeCloseTo(20, 4);
    expect(values[1]).toBeCloseTo(40, 4);
    expect((await numbers(() => psnr(tf.zeros([1, 4, 4, 3]), tf.fill([1, 4, 4, 3], 0.2))))[0]).toBeCloseTo(20, 4);
    expect(await numbers(() => psnr(tf.ones([1, 2, 2, 1]), tf.ones([1, 2, 2, 1])))).toEqual([Infinity]);
    expect(() => psnr(undefined as never, undefined as never, { range: 0 })).toThrow('psnr: expected range to be positive but received 0');
  }));
});

describe('ssim', () => {
  // In float64. Variances as differences of squares cost float32 five digits: the reference is off by 2e-5 itself.
  it('has the reference\'s values', leakFree(async () => {
    expect(Math.abs((await numbers(() => ssim(ramps(64), tf.mul(ramps(64), 0.9), { range: 1 })))[0]! - 0.99252989)).toBeLessThan(2e-5);
    expect(Math.abs((await numbers(() => ssim(ramps(64), tf.add(tf.mul<tf.Tensor4D>(ramps(64), 0.9), 0.05) as tf.Tensor4D, { range: 1 })))[0]! - 0.99386502)).toBeLessThan(2e-5);
  }));

  it('is 1 for equal images, the same for any range of values, and one number an image', leakFree(async () => {
    const values = await numbers(() => ssim(tf.concat([ramps(16), image(1, [1, 16, 16, 3])], 0), tf.concat([ramps(16), image(2, [1, 16, 16, 3])], 0)));
    expect(values[0]).toBeCloseTo(1, 6);
    expect(values[1]).toBeLessThan(0.2);
    const doubled = await numbers(() => ssim(tf.mul(image(1, [1, 16, 16, 3]), 5), tf.mul(image(2, [1, 16, 16, 3]), 5), { range: 10 }));
    expect(doubled[0]).toBeCloseTo(values[1]!, 5);
  }));

  it('averages nothing along a side shorter than its window, and says so once', leakFree(async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const values = [await numbers(() => ssim(image(1, [1, 9, 16, 1]), image(1, [1, 9, 16, 1]))), await numbers(() => ssim(image(1, [1, 9, 16, 1]), image(2, [1, 9, 16, 1])))].flat();
    expect(values[0]).toBeCloseTo(1, 6);
    expect(values[1]).toBeLessThan(0.9);
    expect(warn.mock.calls).toEqual([['ssim: images of 16 x 9 px are smaller than the 11-px window, along such a side nothing is averaged; give a smaller window']]);
    warn.mockRestore();
    expect((await numbers(() => ssimMaps(image(1, [1, 9, 9, 1]), image(2, [1, 9, 9, 1]), { window: 7 }).similarity)).length).toBe(9);
  }));

  it('refuses windows that have no middle', () => {
    expect(() => ssimMaps(undefined as never, undefined as never, { window: 10 })).toThrow('ssim: expected window to be an odd number of pixels but received 10');
  });

  it('keeps the image\'s size with symmetric borders', leakFree(async () => {
    expect(await numbers(() => tf.tensor1d(ssimMaps(image(1, [1, 12, 13, 1]), image(2, [1, 12, 13, 1]), { borders: 'symmetric' }).similarity.shape))).toEqual([1, 12, 13, 1]);
  }));
});

describe('msSsim', () => {
  it('has the reference\'s value', leakFree(async () => {
    expect((await numbers(() => msSsim(pattern(192), tf.mul(pattern(192), 0.9), { range: 1 })))[0]).toBeCloseTo(0.99543477, 5);
  }));

  it('says how large images must be', () => {
    expect(() => tf.tidy(() => msSsim(tf.zeros([1, 160, 200, 1]), tf.zeros([1, 160, 200, 1])))).toThrow('msSsim: expected images of more than 160 px but received 200 x 160');
  });
});

describe('pixel losses', () => {
  const [p, t] = [[1, -2, 0.5, 0], [0, 1, 0.5, 0.25]];
  it('equal what is computed by hand', leakFree(async () => {
    const of = (loss: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor): Promise<number[]> => numbers(() => loss(tf.tensor1d(p), tf.tensor1d(t)));
    expect((await of(l1))[0]).toBeCloseTo((1 + 3 + 0.25) / 4, 6);
    expect((await of(mse))[0]).toBeCloseTo((1 + 9 + 0.0625) / 4, 6);
    expect((await of((a, b) => charbonnier(a, b, { eps: 0.5 })))[0]).toBeCloseTo([1, 3, 0, 0.25].reduce((sum, d) => sum + Math.hypot(d, 0.5), 0) / 4, 6);
    expect((await of((a, b) => pseudoHuber(a, b, { c: 0.5 })))[0]).toBeCloseTo([1, 3, 0, 0.25].reduce((sum, d) => sum + Math.hypot(d, 0.5) - 0.5, 0) / 4, 6);
  }));

  it('keep the digits of small errors', leakFree(async () => {
    expect((await numbers(() => pseudoHuber(tf.tensor1d([1e-4]), tf.tensor1d([0]), { c: 1 })))[0]! / 5e-9).toBeCloseTo(1, 5);
  }));

  it('compare slopes of ramps', leakFree(async () => {
    // Red rises by 1 / 3 a pixel along x, green along y: Sobel's filter makes 8 of each.
    expect((await numbers(() => edge(ramps(4), tf.zeros([1, 4, 4, 3]))))[0]).toBeCloseTo(2 * (8 / 3) / 6, 5);
    expect((await numbers(() => edge(ramps(4), tf.add(ramps(4), 0.5))))[0]).toBeCloseTo(0, 5);
  }));

  it('sum the divergence per image', leakFree(async () => {
    const values = await numbers(() => klDivergence(tf.tensor2d([[0, 0], [1, 1]]), tf.tensor2d([[0, 0], [0, Math.log(2)]])));
    expect(values[0]).toBe(0);
    expect(values[1]).toBeCloseTo(0.5 + 0.5 * (1 + 2 - 1 - Math.log(2)), 6);
  }));

  it('pool whole squares and leave the rest out', leakFree(async () => {
    const pooled = await numbers(() => averagePool(tf.tensor4d(Float32Array.from({ length: 35 }, (_, i) => i), [1, 5, 7, 1]), 2));
    expect(pooled).toEqual([4, 6, 8, 18, 20, 22]);
    expect((await numbers(() => pooledMse(tf.ones([1, 16, 16, 3]), tf.zeros([1, 16, 16, 3]))))[0]).toBe(1);
    expect((await numbers(() => pooledMse(tf.tensor4d([1, -1, -1, 1], [1, 2, 2, 1]), tf.zeros([1, 2, 2, 1]), { factor: 2 })))[0]).toBe(0);
    expect(() => tf.tidy(() => averagePool(tf.zeros([1, 5, 7, 1]), 6))).toThrow('averagePool: expected images of at least 6 px but received 7 x 5');
  }));
});

describe('sharpness', () => {
  it('is 0 on ramps, the Laplacian on a point, and less when blurred', leakFree(async () => {
    expect((await numbers(() => sharpness(ramps(8))))[0]).toBeCloseTo(0, 5);
    // A point in the middle of 5 x 5: -4 there and 1 at its neighbours, over 9 places.
    const point = (): tf.Tensor4D => tf.tensor4d(Float32Array.from({ length: 25 }, (_, i) => (i === 12 ? 1 : 0)), [1, 5, 5, 1]);
    expect((await numbers(() => sharpness(point())))[0]).toBeCloseTo(Math.sqrt(20 / 9), 5);
    const [sharp, blurred] = await numbers(() => { const x = image(1, [1, 16, 16, 3]); return tf.concat([sharpness(x), sharpness(tf.div<tf.Tensor4D>(tf.add(x, tf.reverse(x, 1)), 2))]); }) as [number, number];
    expect(blurred).toBeLessThan(0.8 * sharp);
  }));
});

describe('gradients are those of differences, at batch 2', () => {
  const other = (): tf.Tensor4D => image(11, [2, 12, 13, 3]);
  it.each([
    ['l1', (x: tf.Tensor4D) => l1(x, other()), 1e-3], ['mse', (x: tf.Tensor4D) => mse(x, other()), 1e-2], ['psnr', (x: tf.Tensor4D) => psnr(x, other()), 1e-2],
    ['ssim', (x: tf.Tensor4D) => ssim(x, other()), 1e-2], ['ssim, uniform, symmetric', (x: tf.Tensor4D) => ssim(x, other(), { kind: 'uniform', window: 7, borders: 'symmetric', covariance: 'sample' }), 1e-2],
    // At unlike images a scale's factor may be cut off at 0.
    ['msSsim', (x: tf.Tensor4D) => msSsim(tf.add(tf.mul(x, 0.3), other()) as tf.Tensor4D, other(), { window: 3, weights: [0.4, 0.6] }), 1e-2],
    ['charbonnier', (x: tf.Tensor4D) => charbonnier(x, other(), { eps: 0.3 }), 1e-2], ['pseudoHuber', (x: tf.Tensor4D) => pseudoHuber(x, other(), { c: 0.3 }), 1e-2],
    ['edge', (x: tf.Tensor4D) => edge(x, other()), 1e-3], ['pooledMse', (x: tf.Tensor4D) => pooledMse(x, other(), { factor: 4 }), 1e-2], ['klDivergence', (x: tf.Tensor4D) => klDivergence(x, tf.mul(x, 0.5)), 1e-2],
  ] as const)('%s', async (_name, loss, step) => leakFree(async () => {
    expect(await differsFromDifferences((x) => loss(x as tf.Tensor4D), image(12, [2, 12, 13, 3]), { step })).toBeLessThan(5e-3);
  })());
});
