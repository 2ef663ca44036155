import { describe, expect, it } from 'vitest';
import { codecOf, scaleLatent, unscaleLatent } from '../../src/models/autoencoder.ts';
import { autoencoderKl, klDivergence, posteriorOf, samplePosterior } from '../../src/models/autoencoderKl.ts';
import { clampLatent, quantiseLatent } from '../../src/models/autoencoderTiny.ts';
import { makeNet, paramsOf } from '../../src/models/net.ts';
import { seeded } from '../../src/random.ts';
import * as tf from '../../src/tf.ts';
import { leakFree } from '../support.ts';

const values = async (f: () => tf.Tensor): Promise<number[]> => {
  const out = tf.tidy(f);
  const data = Array.from(await out.data());
  out.dispose();
  return data;
};

const latent = (...numbers: number[]): tf.Tensor4D => tf.tensor4d(numbers, [1, 1, 1, numbers.length]);

describe('latent scales', () => {
  it('are those of SD3: (z - 0.0609) * 1.5305, and back', async () => {
    const { latentScale } = autoencoderKl({ scaling_factor: 1.5305, shift_factor: 0.0609 });
    expect((await values(() => scaleLatent(latentScale, latent(0.0609, 1.0609, 0, 0))))[1]).toBeCloseTo(1.5305, 5);
    (await values(() => unscaleLatent(latentScale, scaleLatent(latentScale, latent(1, -2, 3, 0.5))))).forEach((z, i) => { expect(z).toBeCloseTo([1, -2, 3, 0.5][i] as number, 5); });
  });

  it('go by channel where means and deviations are given', async () => {
    const { latentScale } = autoencoderKl({ scaling_factor: 2, latents_mean: [1, 0, 0, 0], latents_std: [4, 1, 1, 1] });
    expect(await values(() => scaleLatent(latentScale, latent(9, 1, 2, 3)))).toEqual([4, 2, 4, 6]);
    expect(await values(() => unscaleLatent(latentScale, latent(4, 2, 4, 6)))).toEqual([9, 1, 2, 3]);
  });
});

describe('the posterior', () => {
  it('clamps its log variance, and is sampled with noise that comes in', async () => {
    expect(await values(() => posteriorOf(latent(1, 2, 100, -100)).logvar)).toEqual([20, -30]);
    expect(await values(() => samplePosterior(posteriorOf(latent(3, 0)), latent(-2)))).toEqual([1]);
  });

  it('has a divergence of 0 from the unit normal, 0.5 at mean 1, per element', async () => {
    expect(await values(() => klDivergence(posteriorOf(latent(0, 0, 0, 0))))).toEqual([0]);
    expect(await values(() => klDivergence(posteriorOf(latent(1, 1, 0, 0))))).toEqual([1]);
  });
});

describe('latents of TAESD', () => {
  it('are clamped by 3 tanh(z / 3)', async () => {
    const [a, b, c] = await values(() => clampLatent(latent(3, 10, -3))) as [number, number, number];
    expect(a).toBeCloseTo(2.28478, 5);
    expect(b).toBeCloseTo(2.99237, 5);
    expect(c).toBe(-a);
  });

  it('go to bytes and back within half a step', async () => {
    const [a, b, c] = await values(() => quantiseLatent(latent(3, 7, 0.1))) as [number, number, number];
    expect([a, b]).toEqual([3, 3]);
    expect(Math.abs(c - 0.1)).toBeLessThanOrEqual(3 / 255);
  });
});

it('a live autoencoder is a codec', leakFree(async () => {
  const autoencoder = autoencoderKl({ block_out_channels: [4, 4], norm_num_groups: 2, down_block_types: ['DownEncoderBlock2D', 'DownEncoderBlock2D'], up_block_types: ['UpDecoderBlock2D', 'UpDecoderBlock2D'], scaling_factor: 0.5 });
  const net = makeNet(autoencoder, { key: seeded(1) });
  const codec = codecOf(net, autoencoder);
  expect(codec).toMatchObject({ factor: 2, channels: 4 });
  const straight = await values(() => autoencoder.apply(paramsOf(net), tf.ones([1, 4, 4, 3])));
  const coded = await values(() => codec.decode(codec.encode(tf.ones([1, 4, 4, 3]))));
  coded.forEach((x, i) => { expect(x).toBeCloseTo(straight[i] as number, 5); });
  const [z] = await values(() => codec.encode(tf.ones([1, 4, 4, 3]))) as [number];
  const [raw] = await values(() => autoencoder.encode(paramsOf(net), tf.ones([1, 4, 4, 3]))) as [number];
  expect(z).toBeCloseTo(raw * 0.5, 6);
  tf.dispose(Object.values(net.variables));
}));
