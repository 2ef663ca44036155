import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { paramsFrom } from '../../bench/parity/compare.ts';
import { generatedWeights } from '../../bench/parity/golden.ts';
import { convnextPerceptual } from '../../src/losses/convnextPerceptual.ts';
import { convnext, convnextDepth } from '../../src/models/convnext.ts';
import { type LpipsBackbone, lpips, spatialLpips } from '../../src/models/lpips.ts';
import { maxPool } from '../../src/models/maxPool.ts';
import { countParams } from '../../src/models/network.ts';
import { gradientsOf } from '../../src/models/tape.ts';
import { vgg16 } from '../../src/models/vgg.ts';
import { checkStateDict } from '../../src/models/weights/report.ts';
import * as tf from '../../src/tf.ts';
import { differsFromDifferences, image } from '../losses/differences.ts';
import { leakFree } from '../support.ts';

type Order = { name: string; shape: number[]; scale: number }[];
type Trunk = Readonly<{ seed: number; size: number; order: Order; lins: number[]; total: number[]; layers: number[][]; gradNorm: number; grad: number[] }>;
type Compared = Readonly<{ layers: number[]; decay: number; gram: boolean; value: number; gradNorm: number; grad: number[] }>;
/** What PyTorch 1.13 and torchvision 0.14 make of generated weights. */
const oracle = JSON.parse(readFileSync(new URL('trunks.torch.json', import.meta.url), 'utf8')) as Record<LpipsBackbone, Trunk> &
  { convnext: Readonly<{ seed: number; order: Order; depths: number[]; widths: number[]; layers: number; means: number[][]; squares: number[]; gram: Compared; features: Compared }> };

const drawn = (k: number, seed: number, shape: number[], scale = 1): Float32Array => generatedWeights([{ name: 'x', shape, scale }], seed + k * 7919)['x']!.data;
const picture = (k: number, seed: number, size: number): tf.Tensor4D => tf.transpose(tf.tensor4d(drawn(k, seed, [2, 3, size, size]), [2, 3, size, size]), [0, 2, 3, 1]);
const read = async <T extends Record<string, tf.Tensor>>(f: () => T): Promise<Record<keyof T, number[]>> => {
  const tensors = tf.tidy(f);
  const values = await Promise.all(Object.entries(tensors).map(async ([name, x]) => [name, [...await x.data()]]));
  tf.dispose(tensors);
  return Object.fromEntries(values) as Record<keyof T, number[]>;
};
const close = (ours: readonly number[], theirs: readonly number[], tolerance = 1e-4): void => {
  const size = Math.max(1e-6, ...theirs.map(Math.abs));
  theirs.forEach((value, i) => { expect(Math.abs(ours[i]! - value) / size).toBeLessThan(tolerance); });
};

describe('lpips', () => {
  it.each(['squeeze', 'alex', 'vgg'] as const)('on %s is the reference\'s, gradient included', async (name) => leakFree(async () => {
    const { seed, size, order, lins, total, layers, gradNorm, grad } = oracle[name];
    const network = lpips(name);
    const weights = {
      ...generatedWeights(order, seed),
      ...Object.fromEntries(lins.map((channels, k) => [`lin${k}.model.1.weight`, { shape: [1, channels, 1, 1], data: drawn(500 + k, seed, [1, channels, 1, 1]).map(Math.abs) }])),
    };
    checkStateDict(network, weights);
    const found = await read(() => {
      const [params, x, y] = [paramsFrom(weights), picture(1000, seed, size), picture(1001, seed, size)];
      const { grads, extra } = gradientsOf([x], () => {
        const { total, layers } = network.apply(params, x, y);
        return { loss: tf.sum(total) as tf.Scalar, extra: { total, layers: tf.stack([...layers]) } };
      });
      return { ...extra, gradient: tf.transpose(grads[0] as tf.Tensor4D, [0, 3, 1, 2]) };
    });
    close(found.total, total);
    close(found.layers, layers.flat());
    close(found.gradient, grad, 2e-3);
    expect(Math.hypot(...found.gradient) / gradNorm).toBeCloseTo(1, 3);
  })());

  it('is 0, with no gradient, for equal images, even black ones of dead features', leakFree(async () => {
    const network = lpips('squeeze');
    const weights = Object.fromEntries([...network.specs].map(([name, { shape }]) => [name, { shape, data: new Float32Array(tf.util.sizeFromShape([...shape])).fill(name.startsWith('lin') ? 1 : 0) }]));
    const found = await read(() => {
      const [x, params] = [tf.zeros<tf.Rank.R4>([1, 35, 35, 3]), paramsFrom(weights)];
      const { grads, extra } = gradientsOf([x], () => {
        const distance = network.apply(params, x, tf.zeros([1, 35, 35, 3]));
        return { loss: tf.sum(distance.total) as tf.Scalar, extra: { total: distance.total, map: spatialLpips(distance, 35, 35) } };
      });
      return { ...extra, gradient: grads[0] as tf.Tensor };
    });
    expect(found.total).toEqual([0]);
    expect(found.map.length).toBe(35 * 35);
    expect(found.gradient.every((x) => x === 0)).toBe(true);
  }));

  it('has trunks of the published sizes', () => {
    expect(countParams(vgg16())).toBe(14_714_688);
    expect([...vgg16({ stages: 3 }).specs.keys()].at(-1)).toBe('features.14.bias');
    expect(countParams(lpips('alex')) - 1152).toBe(2_469_696);
    expect(countParams(lpips('squeeze')) - 2240).toBe(722_496);
    expect(() => lpips('resnet' as LpipsBackbone)).toThrow('lpips: expected alex, vgg or squeeze but received resnet');
  });
});

describe('maxPool', () => {
  it('takes whole windows, or with ceil those that hang over', leakFree(async () => {
    const ramp = (): tf.Tensor4D => tf.tensor4d(Float32Array.from({ length: 30 }, (_, i) => 1 - i), [1, 5, 6, 1]);
    expect((await read(() => ({ y: maxPool(ramp(), 2) }))).y).toEqual([1, -1, -3, -11, -13, -15]);
    expect((await read(() => ({ y: maxPool(ramp(), 3) }))).y).toEqual([1, -1, -11, -13]);
    expect((await read(() => ({ y: maxPool(ramp(), 3, { ceil: true }) }))).y).toEqual([1, -1, -3, -11, -13, -15]);
    expect(() => tf.tidy(() => maxPool(tf.zeros([1, 2, 6, 1]), 3))).toThrow('maxPool: expected at least 3 px but received 6 x 2');
  }));

  it.each([[2, false], [3, false], [3, true]] as const)('of size %i, ceil %s, has the gradient of its differences', async (size, ceil) => leakFree(async () => {
    expect(await differsFromDifferences((x) => tf.sum(tf.square(maxPool(x as tf.Tensor4D, size, { ceil }))), image(3, [2, 7, 8, 2]), { step: 1e-3 })).toBeLessThan(5e-3);
  })());
});

describe('convnext', () => {
  const { seed, order, depths, widths, layers, means, squares, gram, features } = oracle.convnext;
  const weights = generatedWeights(order, seed);

  it('is torchvision\'s, layer by layer', leakFree(async () => {
    const network = convnext({ depths, widths });
    checkStateDict(network, weights);
    expect(convnextDepth({ depths, widths })).toBe(layers);
    const found = await read(() => {
      const x = tf.div(tf.sub(tf.div(tf.add(picture(1000, seed, 32), 1), 2), [0.485, 0.456, 0.406]), [0.229, 0.224, 0.225]) as tf.Tensor4D;
      const outputs = network.apply(paramsFrom(weights), x);
      return { squares: tf.stack(outputs.map((y) => tf.mean(tf.square(y)))), means: tf.stack(outputs.map((y) => tf.slice(tf.mean(y, [1, 2]), [0, 0], [1, 4]))) };
    });
    close(found.squares, squares);
    close(found.means, means.flat());
  }));

  it.each([['Gram matrices', gram], ['features', features]] as const)('compares %s as the source does, gradient included', async (_name, { value, gradNorm, grad, ...options }) => leakFree(async () => {
    const network = convnext({ depths, widths, layers: Math.max(...options.layers) + 1 });
    const found = await read(() => {
      const [params, x, y] = [paramsFrom(weights), picture(1000, seed, 32), picture(1001, seed, 32)];
      const { loss, grads } = gradientsOf([x], () => ({ loss: convnextPerceptual((image) => network.apply(params, image), x, y, options), extra: undefined }));
      return { loss, gradient: tf.transpose(grads[0] as tf.Tensor4D, [0, 3, 1, 2]) };
    });
    expect(found.loss[0]! / value).toBeCloseTo(1, 4);
    expect(Math.hypot(...found.gradient) / gradNorm).toBeCloseTo(1, 3);
    close(found.gradient, grad, 2e-3);
  })());

  it('has 26 layers and the published number of parameters when tiny', () => {
    const network = convnext();
    expect(convnextDepth({ depths: [3, 3, 9, 3], widths: [96, 192, 384, 768] })).toBe(26);
    // 28,589,128 with the classifier: its norm and linear layer have 770,536.
    expect(countParams(network)).toBe(28_589_128 - 770_536);
    expect(() => convnext({ layers: 27 })).toThrow('convnext: expected layers in 1..26 but received 27');
    expect(() => tf.tidy(() => convnextPerceptual(() => [], tf.zeros([1, 4, 4, 3]), tf.zeros([1, 4, 4, 3])))).toThrow('convnextPerceptual: expected a trunk of more than 0 layers but received 0');
  });
});
