import { describe, expect, it } from 'vitest';
import { normal, seeded } from '../../src/random.ts';
import type { Translate } from '../../src/run/method.ts';
import { heldOutKey, meanScores, scoreBaselines, scoreModel, translateImages } from '../../src/run/validation.ts';
import * as tf from '../../src/tf.ts';
import { leakFree } from '../support.ts';
import { madeUp } from './heldOut.ts';

const scaled = (factor: number): Translate => (source) => tf.mul(source, factor);
/** Adds noise drawn from each image's own key. */
const noisy: Translate = (source, { keys }) => tf.tidy(() => tf.add(source, tf.stack(keys.map((key) => tf.tensor3d(normal(key, 16 * 16 * 3).map((x) => 0.1 * x), [16, 16, 3])))));

describe('scoreModel', () => {
  it('is the mean of each image\'s PSNR and SSIM', leakFree(async () => {
    const heldOut = madeUp(3);
    const scored = await scoreModel(heldOut, scaled(1), { batch: 3, seed: 7 });
    const expected = await Promise.all((await heldOut.pairs()).map(async (load) => {
      const { source, target } = await load();
      return -10 * Math.log10(source.reduce((sum, x, i) => sum + (x - (target[i] as number)) ** 2, 0) / source.length / 4);
    }));
    expect(scored?.images).toBe(3);
    expect(scored?.scores.psnr).toBeCloseTo(expected.reduce((a, b) => a + b) / 3, 4);
    expect(scored?.scores.ssim).toBeGreaterThan(0.9);
    expect(scored?.scores.ssim).toBeLessThan(1);
  }));

  it('does not depend on how the pairs are batched, also with noise', leakFree(async () => {
    const heldOut = madeUp(5);
    for (const model of [scaled(0.7), noisy]) {
      const whole = await scoreModel(heldOut, model, { batch: 5, seed: 7 });
      for (const batch of [1, 2, 3, 8]) {
        const parts = await scoreModel(heldOut, model, { batch, seed: 7 });
        expect(parts?.scores.psnr).toBeCloseTo(whole?.scores.psnr as number, 4);
        expect(parts?.scores.ssim).toBeCloseTo(whole?.scores.ssim as number, 5);
      }
    }
    expect((await scoreModel(heldOut, noisy, { batch: 2, seed: 8 }))?.scores.psnr).not.toBe((await scoreModel(heldOut, noisy, { batch: 2, seed: 7 }))?.scores.psnr);
  }));

  it('clamps what the model says, and gives infinity for a perfect one', leakFree(async () => {
    const [one, more] = [await scoreModel(madeUp(2), scaled(1000), { batch: 2, seed: 7 }), await scoreModel(madeUp(2), scaled(1e6), { batch: 2, seed: 7 })];
    expect(one?.scores.psnr).toBeCloseTo(more?.scores.psnr as number, 1);
    expect(meanScores([{ psnr: Infinity, ssim: 1 }, { psnr: 20, ssim: 0 }])).toEqual({ psnr: Infinity, ssim: 0.5 });
  }));

  it('is undefined without pairs', async () => {
    expect(await scoreModel(madeUp(0), scaled(1), { batch: 2, seed: 7 })).toBeUndefined();
  });
});

describe('scoreBaselines', () => {
  it('scores the source itself and the mean target', leakFree(async () => {
    const heldOut = madeUp(3);
    const { copySource, meanTarget, meanTargetImages } = await scoreBaselines(heldOut, 2);
    expect(copySource).toEqual((await scoreModel(heldOut, scaled(1), { batch: 2, seed: 7 }))?.scores);
    expect(meanTarget.psnr).toBeCloseTo((await scoreModel(heldOut, scaled(0), { batch: 2, seed: 7 }))?.scores.psnr as number, 4);
    expect(meanTargetImages).toBe(64);
    expect(copySource?.psnr).toBeGreaterThan(meanTarget.psnr + 5);
  }));

  it('leaves out the source where it is the target', leakFree(async () => {
    const { copySource, meanTarget } = await scoreBaselines({ ...madeUp(2), reconstructs: true }, 2);
    expect(copySource).toBeNull();
    expect(Number.isFinite(meanTarget.psnr)).toBe(true);
  }));
});

describe('translateImages', () => {
  it('gives every image its own output, clamped, whatever the batch', leakFree(async () => {
    const pairs = await Promise.all((await madeUp(5).pairs()).map((load) => load()));
    const images = pairs.map(({ source }) => source);
    const keys = images.map((_, i) => heldOutKey(7, i));
    const whole = await translateImages(noisy, images, [16, 16], { keys, batch: 5 });
    expect(whole).toHaveLength(5);
    expect(Math.max(...whole.map((image) => Math.max(...image.map(Math.abs))))).toBe(1);
    for (const batch of [1, 2, 7]) {
      const parts = await translateImages(noisy, images, [16, 16], { keys, batch });
      parts.forEach((part, i) => { expect([...part]).toEqual([...whole[i] as Float32Array]); });
    }
    expect(await translateImages(noisy, [], [16, 16], { keys: [], batch: 2 })).toEqual([]);
    expect(heldOutKey(7, 0)).not.toEqual(heldOutKey(7, 1));
    expect(heldOutKey(7, 0)).not.toEqual(seeded(7));
  }));
});
