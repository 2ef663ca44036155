import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { generatedWeights } from '../../bench/parity/golden.ts';
import { differentiate } from '../../src/models/differentiate.ts';
import { applyNet, makeNet } from '../../src/models/net.ts';
import { countParams } from '../../src/models/network.ts';
import { type CriticNorm, patchCritic } from '../../src/models/patchCritic.ts';
import { gradientsOf } from '../../src/models/tape.ts';
import { sgd } from '../../src/optim/sgd.ts';
import { seeded } from '../../src/random.ts';
import { free } from '../../src/streams/scoped.ts';
import * as tf from '../../src/tf.ts';
import { leakFree } from '../support.ts';

type Order = readonly Readonly<{ name: string; shape: number[]; scale: number }>[];
/** What PyTorch 1.13 makes of `NLayerDiscriminator` in training mode: base 2, two layers, 3 + 2 channels, 16 px, batch 2. */
const { cases } = JSON.parse(readFileSync(new URL('patchCritic.torch.json', import.meta.url), 'utf8')) as {
  cases: readonly Readonly<{ norm: CriticNorm; seed: number; order: Order; output: number[]; inputGrad: number[]; gradNorms: Record<string, number>; after: Record<string, number[]> }>[];
};

/** The k-th tensor of the generator that both sides draw from. */
const drawn = (k: number, seed: number, shape: number[]): tf.Tensor4D => {
  const { data } = generatedWeights([{ name: 'x', shape, scale: 1 }], seed + k * 7919)['x']!;
  return tf.transpose(tf.tensor4d(data, shape as [number, number, number, number]), [0, 2, 3, 1]);
};

const worst = (a: ArrayLike<number>, b: ArrayLike<number>): number => Math.max(...Array.from(b, (value, i) => Math.abs((a[i] as number) - value)));

describe('patchCritic', () => {
  it.each(cases.map((one) => [one.norm, one] as const))('with norm %s is PyTorch\'s, gradients and buffers included', (_norm, { norm, seed, order, output, inputGrad, gradNorms, after }) => leakFree(async () => {
    const network = patchCritic({ conditionChannels: 2, base: 2, layers: 2, norm, groups: 2 });
    const given = Object.fromEntries(Object.entries(generatedWeights(order, seed)).map(([name, { shape, data }]) =>
      [name, { shape, data: name.endsWith('running_var') ? data.map((value) => Math.abs(value) + 0.5) : data }]));
    expect([...network.specs.keys()].filter((name) => !name.endsWith('num_batches_tracked')).sort()).toEqual(Object.keys(given).sort());
    const net = makeNet(network, { key: seeded(1), optimizer: sgd(), given });
    const { y, gradient, dx } = tf.tidy(() => {
      const [x, condition] = [drawn(50, seed, [2, 3, 16, 16]), drawn(51, seed, [2, 2, 16, 16])];
      const score = (logits: tf.Tensor4D): tf.Scalar => tf.sum(tf.mul(logits, drawn(52, seed, [2, 1, logits.shape[1], logits.shape[2]])));
      const { gradient, extra, keepBuffers } = differentiate(net, (apply) => {
        const y = apply(x, condition);
        return { loss: score(y), extra: y };
      });
      // The input's gradient in training mode, so before the buffers move.
      const { extra: dx } = differentiate(net, (apply) => {
        const inner = gradientsOf([x], () => ({ loss: score(apply(x, condition)), extra: undefined }));
        return { loss: inner.loss, extra: tf.transpose(inner.grads[0] as tf.Tensor4D, [0, 3, 1, 2]) };
      });
      keepBuffers(tf.scalar(true, 'bool'));
      return { y: extra, gradient, dx };
    });
    const flat = await gradient.data();
    expect(worst(await y.data(), output)).toBeLessThan(2e-5);
    expect(worst(await dx.data(), inputGrad)).toBeLessThan(2e-5);
    for (const { name, offset, size } of net.layout) expect(Math.abs(Math.hypot(...flat.slice(offset, offset + size)) - gradNorms[name]!) / Math.max(1, gradNorms[name]!), name).toBeLessThan(3e-5);
    const buffers = net.frozen ? await net.frozen.data() : new Float32Array();
    for (const { name, offset, size } of net.frozenLayout) expect(worst(buffers.slice(offset, offset + size), after[name]!), name).toBeLessThan(1e-5);
    tf.dispose([y, gradient, dx]);
    free({ net });
  })());

  it.each([[1, 32, 14], [2, 32, 6], [3, 32, 2], [2, 64, 14], [3, 64, 6]])('with %i layers turns %i px into a map of %i', leakFree2((layers, size, side) => {
    const net = makeNet(patchCritic({ base: 1, layers, norm: 'none' }), { key: seeded(1) });
    expect(tf.tidy(() => applyNet(net)(tf.zeros([1, size, size, 3])).shape)).toEqual([1, side, side, 1]);
    free({ net });
  }));

  it('has the published number of parameters', () => {
    expect(countParams(patchCritic())).toBe(2_765_633);
    expect(countParams(patchCritic({ conditionChannels: 3 }))).toBe(2_768_705);
  });

  it('says which norms it knows and when a condition is missing', () => {
    expect(() => patchCritic({ norm: 'weight' as CriticNorm })).toThrow('patchCritic: expected norm none, instance, group, batch or spectral but received weight');
    expect(() => patchCritic({ layers: 0 })).toThrow(RangeError);
    const net = makeNet(patchCritic({ base: 1, layers: 1, conditionChannels: 3 }), { key: seeded(1) });
    expect(() => tf.tidy(() => applyNet(net)(tf.zeros([1, 8, 8, 3])))).toThrow('patchCritic: expected a condition but received none');
    free({ net });
  });
});

function leakFree2(test: (layers: number, size: number, side: number) => void): (...args: number[]) => Promise<void> {
  return (...args) => leakFree(() => test(...(args as [number, number, number])))();
}
