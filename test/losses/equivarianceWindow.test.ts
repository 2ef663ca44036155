import { describe, expect, it } from 'vitest';
import { alike } from '../../src/losses/alike.ts';
import type { Both } from '../../src/losses/equivariance.ts';
import { eqWindowed, resizingRows, windowSide } from '../../src/losses/equivarianceWindow.ts';
import { resizeBilinear, upsampleNearest } from '../../src/models/blocks/upsample.ts';
import { fold, seeded } from '../../src/random.ts';
import * as tf from '../../src/tf.ts';
import { leakFree } from '../support.ts';
import { differsFromDifferences, image } from './differences.ts';

const key = seeded(3);
const numbers = async (f: () => tf.Tensor): Promise<number[]> => { const x = tf.tidy(f); const data = [...await x.data()]; x.dispose(); return data; };

describe('resizingRows', () => {
  it('resizes as bilinear interpolation with pixel centres does', leakFree(async () => {
    for (const [from, to] of [[8, 5], [8, 8], [8, 13], [6, 4]] as const) {
      const [ours, theirs] = await Promise.all([
        numbers(() => tf.matMul(tf.tensor2d(resizingRows(from, to, 0, to), [to, from]), tf.reshape(tf.square(tf.range(0, from)), [from, 1]))),
        numbers(() => resizeBilinear(tf.add(tf.zeros([1, from, from, 1]), tf.reshape(tf.square(tf.range(0, from)), [1, from, 1, 1])), to, 1)),
      ]);
      ours.forEach((value, i) => { expect(value).toBeCloseTo(theirs[i] as number, 4); });
    }
  }));

  it('keeps what is asked for', () => { expect([...resizingRows(4, 4, 1, 2)]).toEqual([0, 1, 0, 0, 0, 0, 1, 0]); });
});

describe('eqWindowed', () => {
  /** Squares of 4 px of one value, and their values: an autoencoder that is equivariant but for the resizing itself. */
  const pair = (seed: number): Both => { const latent = image(seed, [2, 8, 8, 3]); return { latent, image: upsampleNearest(latent, 4) }; };

  it('keeps windows of one size, whatever is drawn', leakFree(() => {
    for (let step = 0; step < 12; step++) {
      const { image: x, latent: z } = tf.tidy(() => eqWindowed(pair(1), fold(key, step), { least: 0.25 }) as unknown as tf.TensorContainerObject) as unknown as Both;
      expect([x.shape, z.shape]).toEqual([[2, 8, 8, 3], [2, 2, 2, 3]]);
      tf.dispose([x, z]);
    }
    expect([windowSide(32, 0.25), windowSide(8, 0.99), windowSide(2, 0.1)]).toEqual([8, 7, 1]);
  }));

  it('shows the same part of image and latent, turned alike', leakFree(async () => {
    // A ramp is resized without error away from the borders: image and latent agree to within one cell of it.
    const ramps = (): Both => {
      const at = (side: number, by: number): tf.Tensor4D => {
        const place = tf.div(tf.add(tf.range(0, side), 0.5), by);
        return tf.concat([tf.add(tf.zeros([1, side, side, 1]), tf.reshape(place, [1, side, 1, 1])), tf.add(tf.zeros([1, side, side, 1]), tf.reshape(place, [1, 1, side, 1]))], 3);
      };
      return { image: at(64, 4), latent: at(16, 1) };
    };
    const seen = new Set<string>();
    for (let step = 0; step < 10; step++) {
      const apart = await numbers(() => { const { image: x, latent: z } = eqWindowed(ramps(), fold(key, step), { least: 0.5 }); return tf.stack([tf.max(tf.abs(tf.sub(tf.avgPool(x, 4, 4, 'valid'), z))), tf.mean(z)]); });
      expect(apart[0]).toBeLessThan(0.5);
      seen.add((apart[1] as number).toFixed(3));
    }
    expect(seen.size).toBeGreaterThan(3);
  }));

  it('lets the gradient through to image and latent', leakFree(async () => {
    const error = await differsFromDifferences((x) => {
      const { image: changed, latent } = eqWindowed({ image: x as tf.Tensor4D, latent: tf.slice(x as tf.Tensor4D, [0, 0, 0, 0], [-1, 4, 4, -1]) }, key, { least: 0.5 });
      return tf.add(tf.sum(tf.square(changed)), tf.sum(tf.square(latent)));
    }, image(5, [2, 8, 8, 2]));
    expect(error).toBeLessThan(1e-2);
  }));

  it('refuses what makes no sense', () => {
    expect(() => tf.tidy(() => { eqWindowed(pair(1), key, { least: 1 }); })).toThrow('eqWindowed: expected least in (0, 1) but received 1');
    expect(() => tf.tidy(() => { eqWindowed({ image: tf.zeros([1, 8, 16, 3]), latent: tf.zeros([1, 2, 4, 3]) }, key); })).toThrow('expected square images but received 16 x 8');
  });
});

describe('alike', () => {
  it('cuts the middle of the smallest size out of each view', leakFree(async () => {
    const large = (): tf.Tensor4D => tf.reshape(tf.range(0, 16), [1, 4, 4, 1]);
    const small = (): tf.Tensor4D => tf.fill([1, 2, 2, 1], -1);
    expect(await numbers(() => alike([{ image: large(), output: large() }, { image: small(), output: small() }]).real)).toEqual([5, 6, 9, 10, -1, -1, -1, -1]);
    expect(await numbers(() => alike([{ image: large(), output: tf.neg(large()) as tf.Tensor4D }]).fake)).toEqual(Array.from({ length: 16 }, (_, i) => -i));
  }));
});
