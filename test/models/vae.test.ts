import { describe, expect, it } from 'vitest';
import { autoencoderKl } from '../../src/models/autoencoderKl.ts';
import { applyNet, makeNet } from '../../src/models/net.ts';
import { type Coded, type VaeConfig, type Views, smallAutoencoder, vae } from '../../src/models/vae.ts';
import { seeded } from '../../src/random.ts';
import { noiseAt } from '../../src/run/autoencoderOptions.ts';
import { free } from '../../src/streams/scoped.ts';
import * as tf from '../../src/tf.ts';
import { leakFree } from '../support.ts';

const model = smallAutoencoder({ base: 4, multipliers: [1, 2], depth: 1, channels: 4, groups: 2, attention: false });
/** What the network makes of a picture, as numbers. */
const run = async (config: Partial<VaeConfig>, { noise = true, views }: { noise?: boolean; views?: Views } = {}): Promise<Record<'mean' | 'logvar' | 'latent' | 'output', number[]> & { shapes: number[][] }> => {
  const net = makeNet(vae({ model, ...config }), { key: seeded(1) });
  const { mean, logvar, latent, output, views: made, lastLayer } = tf.tidy(() => applyNet(net)(tf.reshape(tf.linspace(-1, 1, 8 * 8 * 3), [1, 8, 8, 3]), noise ? noiseAt(seeded(2), 3) : undefined, views) as unknown as tf.TensorContainerObject) as unknown as Coded;
  const [a, b, c, d] = await Promise.all([mean, logvar, latent, output].map(async (t) => [...await t.data()])) as [number[], number[], number[], number[]];
  const shapes = made.map((view) => view.output.shape);
  tf.dispose([mean, logvar, latent, output, lastLayer]);
  tf.dispose(made as unknown as tf.TensorContainer);
  free({ net });
  return { mean: a, logvar: b, latent: c, output: d, shapes };
};

describe('vae', () => {
  it('has the autoencoder\'s parameters, under their names', () => {
    const { specs } = vae({ model });
    expect([...specs.keys()]).toEqual([...autoencoderKl(model).specs.keys()]);
    expect(vae({ model, codebook: { size: 16, parts: 2 } }).specs.get('codebook.weight')?.shape).toEqual([16, 2]);
    expect(() => vae({ model, codebook: { size: 16, parts: 3 } })).toThrow('expected codebook.parts to divide 4 channels');
  });

  it('draws latents about the mean, with the deviation of its log variance', async () => {
    const [drawn, still] = [await run({ logvar: -2 }), await run({ logvar: -2 }, { noise: false })];
    expect(still.latent).toEqual(still.mean);
    expect(drawn.mean).toEqual(still.mean);
    const apart = drawn.latent.map((z, i) => (z - (drawn.mean[i] as number)) / Math.exp((drawn.logvar[i] as number) / 2));
    // 64 unit normal values.
    expect(Math.sqrt(apart.reduce((sum, x) => sum + x * x, 0) / apart.length)).toBeGreaterThan(0.75);
    expect(Math.max(...apart.map(Math.abs))).toBeLessThan(4);
    expect(drawn.output).not.toEqual(still.output);
  });

  it('begins with the log variance it is told', async () => {
    const mean = (values: number[]): number => values.reduce((a, b) => a + b) / values.length;
    expect(mean((await run({ logvar: -9 })).logvar) - mean((await run({ logvar: -1 })).logvar)).toBeCloseTo(-8, 4);
  });

  it('takes a fixed deviation, and bounds latents', async () => {
    const fixed = await run({ std: 0.5 });
    const apart = fixed.latent.map((z, i) => (z - (fixed.mean[i] as number)) / 0.5);
    expect(Math.sqrt(apart.reduce((sum, x) => sum + x * x, 0) / apart.length)).toBeCloseTo(1, 0);
    expect((await run({ std: 0 })).latent).toEqual(fixed.mean);
    expect(Math.max(...(await run({ std: 0, bound: 0.01 })).latent.map(Math.abs))).toBeCloseTo(0.01, 6);
  });

  it('makes the views it is asked for from one draw', leakFree(async () => {
    const twice: Views = ({ image, latent, code, decode }) => [{ image, output: decode(latent) }, { image, output: decode(code(image)) }, { image, output: decode(tf.slice(latent, [0, 0, 0, 0], [-1, 2, 2, -1])) }];
    const { shapes } = await run({}, { views: twice });
    expect(shapes).toEqual([[1, 8, 8, 3], [1, 8, 8, 3], [1, 4, 4, 3]]);
  }));
});
