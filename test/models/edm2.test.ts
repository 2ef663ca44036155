import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { findGoldens, readGolden } from '../../bench/parity/golden.ts';
import { handlers } from '../../bench/parity/training.ts';
import { ConfigError } from '../../src/errors.ts';
import { edm2, edm2Config } from '../../src/models/edm2.ts';
import { mpCat, mpConv, mpFourier, mpSilu, mpSum, mpWeight, normalise, resample } from '../../src/models/magnitude.ts';
import { buildNetwork, countParams } from '../../src/models/network.ts';
import { gradientsOf } from '../../src/models/tape.ts';
import { fold, normal, seeded } from '../../src/random.ts';
import * as tf from '../../src/tf.ts';
import { leakFree } from '../support.ts';

type Image = tf.Tensor4D;
const folders = (await findGoldens(fileURLToPath(new URL('../goldens/training', import.meta.url)))).filter((folder) => folder.includes('edm2'));
const unit = (shape: readonly number[], seed = 1): tf.Tensor => tf.tensor(normal(seeded(seed), shape.reduce((a, b) => a * b, 1)), [...shape]);
const read = async (f: () => tf.Tensor): Promise<number[]> => {
  const x = tf.tidy(f);
  const data = Array.from(await x.data());
  x.dispose();
  return data;
};
const variance = (x: tf.Tensor): tf.Tensor => tf.mean(tf.square(x));

describe('EDM2 equals the reference on', () => {
  it.each(folders.map((folder) => [folder.split('/').at(-1), folder]))('%s', async (_, folder) => {
    const golden = await readGolden(folder as string);
    const comparisons = await handlers.find(({ matches }) => matches(golden))?.run(golden);
    expect(comparisons?.map(({ name }) => name)).toContain('output.denoised');
    expect(comparisons?.filter(({ error, limit }) => !(error <= limit))).toEqual([]);
  });
});

it('has the published sizes: XS 125 M, S 280 M, XXL 1.5 B at 512 pixels', () => {
  const size = (channels: number): number => countParams(edm2({ img_resolution: 64, img_channels: 4, label_dim: 1000, model_channels: channels })) / 1e6;
  expect(size(128)).toBeCloseTo(124.7, 0);
  expect(size(192)).toBeCloseTo(280.2, 0);
  expect(size(448) / 1523.2).toBeCloseTo(1, 2);
});

describe('magnitudes', () => {
  it('normalised filters have unit RMS, and weights in use unit norm', leakFree(async () => {
    const rms = await read(() => tf.sqrt(tf.mean(tf.square(normalise(tf.mul(unit([4, 3, 3, 3]), 7))), [1, 2, 3])));
    rms.forEach((value) => expect(value).toBeCloseTo(1, 3));
    const norms = await read(() => tf.sqrt(tf.sum(tf.square(mpWeight(unit([4, 3, 3, 3]), 2)), [1, 2, 3])));
    norms.forEach((value) => expect(value).toBeCloseTo(2, 3));
  }));
  it('unit variance stays within 5 %, through activation, sum, join and convolution', leakFree(async () => {
    const values = await read(() => {
      const [a, b] = [unit([4, 16, 16, 16], 1) as Image, unit([4, 16, 16, 8], 2) as Image];
      const conv = buildNetwork('c', {}, (scope) => mpConv(scope, { from: 16, to: 32, kernel: 1 }));
      return tf.stack([variance(mpSilu(a)), variance(mpSum(a, unit([4, 16, 16, 16], 3) as Image, 0.3)), variance(mpCat(a, b)), variance(conv.apply({ weight: unit([32, 16, 1, 1], 4) }, a))]);
    });
    values.forEach((value) => expect(Math.abs(value - 1)).toBeLessThan(0.05));
  }));
  it('a join of 64 and 32 channels weighs them .866025 and 1.224745; a sum of t = .3 grows by 1.313064', leakFree(async () => {
    const joined = await read(() => tf.concat([tf.slice4d(mpCat(tf.ones([1, 1, 1, 64]), tf.ones([1, 1, 1, 32])), [0, 0, 0, 0], [1, 1, 1, 1]), tf.slice4d(mpCat(tf.ones([1, 1, 1, 64]), tf.ones([1, 1, 1, 32])), [0, 0, 0, 95], [1, 1, 1, 1])]));
    expect(joined[0]).toBeCloseTo(0.866025, 5);
    expect(joined[1]).toBeCloseTo(1.224745, 5);
    expect((await read(() => mpSum(tf.scalar(1), tf.scalar(1), 0.3)))[0]).toBeCloseTo(1.313064, 5);
  }));
  it('Fourier features have unit variance', leakFree(async () => {
    const network = buildNetwork('f', {}, (scope) => mpFourier(scope, 64));
    const drawn = (name: string): Float32Array => network.specs.get(name)?.init(fold(seeded(3), name), [64]) as Float32Array;
    const value = await read(() => variance(network.apply({ freqs: tf.tensor1d(drawn('freqs')), phases: tf.tensor1d(drawn('phases')) }, unit([200]) as tf.Tensor1D)));
    expect(value[0]).toBeCloseTo(1, 1);
  }));
});

describe('resampling', () => {
  it('averages blocks, repeats pixels, and is its own transpose up to 4', leakFree(async () => {
    const down = await read(() => resample(tf.tensor4d([1, 2, 3, 4], [1, 2, 2, 1]), 'down'));
    expect(down).toEqual([2.5]);
    expect(await read(() => resample(tf.tensor4d([1, 2], [1, 1, 2, 1]), 'up'))).toEqual([1, 1, 2, 2, 1, 1, 2, 2]);
    for (const filter of [[1, 1], [1, 3, 3, 1]]) {
      const [a, b] = await read(() => {
        const [x, y] = [unit([2, 4, 6, 3], 1) as Image, unit([2, 2, 3, 3], 2) as Image];
        return tf.stack([tf.mul(tf.sum(tf.mul(resample(x, 'down', filter), y)), 4), tf.sum(tf.mul(x, resample(y, 'up', filter)))]);
      });
      expect(a).toBeCloseTo(b as number, 3);
    }
  }));
  it('has the transpose as its gradient', leakFree(async () => {
    const away = await read(() => {
      const [x, seed] = [unit([2, 4, 4, 2], 1) as Image, unit([2, 2, 2, 2], 2) as Image];
      const { grads } = gradientsOf([x], () => ({ loss: tf.sum(tf.mul(resample(x, 'down', [1, 3, 3, 1]), seed)) as tf.Scalar, extra: {} }));
      return tf.max(tf.abs(tf.sub(grads[0] as tf.Tensor, tf.div(resample(seed, 'up', [1, 3, 3, 1]), 4))));
    });
    expect(away[0]).toBeLessThan(1e-6);
  }));
  it('refuses a filter of odd length', () => tf.tidy(() => { expect(() => resample(tf.zeros([1, 2, 2, 1]), 'down', [1, 2, 1])).toThrow(RangeError); }));
});

it('refuses an unknown or impossible option by name', () => {
  expect(() => edm2Config({ img_resolution: 8, img_channels: 1, chanel_mult: [1] })).toThrow('chanel_mult');
  expect(() => edm2Config({ img_resolution: 8, img_channels: 1, channel_mult: [] })).toThrow(ConfigError);
  expect(() => edm2Config({ img_channels: 1 })).toThrow('img_resolution');
});
