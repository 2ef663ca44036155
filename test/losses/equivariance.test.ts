import { describe, expect, it } from 'vitest';
import { type Both, affineTransformed, blended, cropped, drawEq, eqScales, eqTransformed, flipped, quarterTurned } from '../../src/losses/equivariance.ts';
import { averagePool } from '../../src/losses/pool.ts';
import { upsampleNearest } from '../../src/models/blocks/upsample.ts';
import { fold, seeded } from '../../src/random.ts';
import * as tf from '../../src/tf.ts';
import { leakFree } from '../support.ts';
import { differsFromDifferences, image } from './differences.ts';

const key = seeded(12);
const numbers = async (f: () => tf.Tensor): Promise<number[]> => { const x = tf.tidy(f); const data = [...await x.data()]; x.dispose(); return data; };
/** An autoencoder that is equivariant itself: squares of 4 px of one value, and their values. */
const pair = (seed: number, batch = 3, side = 8, channels = 4): Both => {
  const latent = image(seed, [batch, side, side, channels]);
  return { latent, image: upsampleNearest(latent, 4) };
};
const worst = async (f: () => readonly [tf.Tensor, tf.Tensor]): Promise<number> => (await numbers(() => tf.max(tf.abs(tf.sub(...f())))))[0]!;

describe('EQ-VAE\'s draw', () => {
  it('takes its three branches as often as published', () => {
    const draws = Array.from({ length: 10_000 }, (_, i) => drawEq(fold(key, i), { scales: eqScales }));
    const share = (kind: string): number => draws.filter((draw) => draw.kind === kind).length / 10_000;
    expect(share('equivariant')).toBeCloseTo(0.5, 1);
    expect(Math.abs(share('small') - 0.125)).toBeLessThan(0.02);
    expect(Math.abs(share('plain') - 0.375)).toBeLessThan(0.02);
    expect(new Set(draws.map(({ turns }) => turns))).toEqual(new Set([1, 2, 3]));
    expect(new Set(draws.map(({ scale }) => scale)).size).toBe(24);
  });

  it('has 24 scales of mean 0.609375', () => {
    expect(eqScales.length).toBe(24);
    expect(eqScales.reduce((a, b) => a + b, 0) / 24).toBe(0.609375);
    expect(() => drawEq(key, { scales: [] })).toThrow('drawEq: expected scales in (0, 1] but received []');
  });
});

describe('eqTransformed', () => {
  it('turns image and latent alike: an equivariant decoder makes the one of the other', leakFree(async () => {
    for (const turns of [1, 2, 3]) {
      expect(await worst(() => { const { image, latent } = eqTransformed(pair(1), { kind: 'equivariant', scale: 1, turns }); return [upsampleNearest(latent, 4), image]; })).toBeLessThan(1e-6);
    }
    expect(await numbers(() => quarterTurned(tf.tensor4d([1, 2, 3, 4], [1, 2, 2, 1]), tf.tensor1d([0, 1, 0, 0])))).toEqual([2, 4, 1, 3]);
    expect(await worst(() => {
      const x = image(2, [2, 5, 5, 3]);
      const once = tf.tensor1d([0, 1, 0, 0]);
      return [[0, 1, 2, 3].reduce((y) => quarterTurned(y, once), x), x];
    })).toBe(0);
    expect(() => tf.tidy(() => quarterTurned(tf.zeros([1, 2, 3, 1]), tf.tensor1d([1, 0, 0, 0])))).toThrow('quarterTurned: expected square images but received 3 x 2');
  }));

  it.each(eqScales.filter((_, i) => i % 5 === 0))('keeps the sides in step at scale %f', async (scale) => leakFree(async () => {
    const shapes = await numbers(() => { const { image, latent } = eqTransformed(pair(1, 1, 32, 1), { kind: 'equivariant', scale, turns: 2 }); return tf.tensor1d([...image.shape, ...latent.shape]); });
    expect(shapes).toEqual([1, 128 * scale, 128 * scale, 1, 1, 32 * scale, 32 * scale, 1]);
  })());

  it('lets gradients through to the latent', leakFree(async () => {
    expect(await differsFromDifferences((z) => tf.sum(tf.square(eqTransformed({ image: tf.zeros([2, 16, 16, 3]), latent: z as tf.Tensor4D }, { kind: 'equivariant', scale: 0.75, turns: 1 }).latent)), image(3, [2, 8, 8, 2]))).toBeLessThan(1e-3);
  }));
});

describe('other changes made to both', () => {
  it('blend, flip and crop commute with an equivariant decoder', leakFree(async () => {
    expect(await worst(() => { const { image, latent } = blended(pair(1, 5), key); return [upsampleNearest(latent, 4), image]; })).toBeLessThan(1e-6);
    expect(await worst(() => { const { image, latent } = cropped(pair(1, 5), key, { side: 3 }); return [upsampleNearest(latent, 4), image]; })).toBeLessThan(1e-6);
    // Flipping also negates channels of the latent: undone here on 6 channels, of which the last four have signs.
    expect(await worst(() => { const { image, latent } = flipped(pair(1, 6, 8, 6), key); const signless = (x: tf.Tensor4D): tf.Tensor => tf.slice(x, [0, 0, 0, 0], [6, x.shape[1], x.shape[2], 2]); return [signless(upsampleNearest(latent, 4)), signless(image)]; })).toBeLessThan(1e-6);
  }));

  it('affine changes move image and latent together', leakFree(async () => {
    // On ramps nearest and bilinear reading agree after averaging, away from the reflected border.
    const ramp = (n: number, step: number): tf.Tensor4D => tf.tensor4d(Float32Array.from({ length: 4 * n * n * 2 }, (_, i) => step * ((i % 2 === 0 ? Math.floor(i / 2) % n : Math.floor(i / 2 / n) % n) - (n - 1) / 2)), [4, n, n, 2]);
    const found = await worst(() => {
      const { image, latent } = affineTransformed({ image: ramp(64, 1), latent: ramp(16, 4) }, key, { share: 1, rotate: 30, shift: 0.05 });
      const middle = (x: tf.Tensor4D, n: number): tf.Tensor => tf.slice(x, [0, (x.shape[1] - n) / 2, (x.shape[2] - n) / 2, 0], [4, n, n, 2]);
      return [middle(averagePool(image, 4), 6), middle(latent, 6)];
    });
    expect(found).toBeLessThan(1e-3);
    const [moved, same] = [await worst(() => [affineTransformed(pair(1), key, { share: 1 }).image, pair(1).image]), await worst(() => [affineTransformed(pair(1), key, { share: 0 }).image, pair(1).image])];
    expect(moved).toBeGreaterThan(0.1);
    expect(same).toBeLessThan(1e-5);
  }));

  it('flips negate two channels each way', leakFree(async () => {
    const rows = await numbers(() => flipped({ image: tf.ones([40, 4, 4, 3]), latent: tf.ones([40, 1, 1, 5]) }, key).latent);
    const signs = Array.from({ length: 40 }, (_, i) => rows.slice(5 * i, 5 * i + 5).map((x) => Math.round(x)).join());
    expect(new Set(signs)).toEqual(new Set(['1,1,1,1,1', '1,-1,-1,1,1', '1,1,1,-1,-1', '1,-1,-1,-1,-1']));
    expect(() => tf.tidy(() => flipped(pair(1, 1, 8, 3), key))).toThrow('flipped: expected latents of at least 4 channels but received 3');
  }));

  it('blends as much as its range says', leakFree(async () => {
    const [of] = [await numbers(() => blended({ image: tf.tensor4d([0, 1], [2, 1, 1, 1]), latent: tf.tensor4d([0, 1], [2, 1, 1, 1]) }, fold(key, 3), { share: 1, range: [0.25, 0.25] }).image)];
    expect(of.map((x) => Math.round(x * 100)).join()).toMatch(/^(0,100|25,75)$/);
    expect(() => tf.tidy(() => cropped(pair(1), key, { side: 9 }))).toThrow('cropped: expected side in 1..8 but received 9');
  }));
});
