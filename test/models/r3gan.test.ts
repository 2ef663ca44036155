import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { paramsFrom } from '../../bench/parity/compare.ts';
import { generatedWeights } from '../../bench/parity/golden.ts';
import { relativisticPairing } from '../../src/losses/adversarial.ts';
import { judgedWithGradient } from '../../src/losses/penalties.ts';
import { groupedConvolve } from '../../src/models/groupedConv.ts';
import { downsampleLowPass, lowPassTaps, upsampleLowPass } from '../../src/models/lowPass.ts';
import { applyNet, makeNet } from '../../src/models/net.ts';
import { countParams } from '../../src/models/network.ts';
import { convolve } from '../../src/models/nn.ts';
import { activationGain, r3ganCritic, r3ganGenerator } from '../../src/models/r3gan.ts';
import { gradientsOf } from '../../src/models/tape.ts';
import { seeded } from '../../src/random.ts';
import { free } from '../../src/streams/scoped.ts';
import * as tf from '../../src/tf.ts';
import { drawn, image } from '../losses/differences.ts';
import { leakFree } from '../support.ts';

type Order = { name: string; shape: number[]; scale: number }[];
type Sizes = { widths: number[]; cards: number[]; blocks: number[] };
/** The same networks and steps written in plain PyTorch from the paper's description: 16 px, conditional, gamma 1. */
const oracle = JSON.parse(readFileSync(new URL('r3gan.torch.json', import.meta.url), 'utf8')) as Readonly<{
  config: { noise: number; cond: number; emb: number; g: Sizes; d: Sizes }; generator: Order; critic: Order; fake: number[]; realLogits: number[]; fakeLogits: number[];
  r1: number[]; r2: number[]; generatorLoss: number; criticLoss: number; generatorGrads: Record<string, number>; criticGrads: Record<string, number>;
}>;

const numbers = async (f: () => tf.Tensor): Promise<number[]> => { const x = tf.tidy(f); const data = [...await x.data()]; x.dispose(); return data; };
const close = (ours: readonly number[], theirs: readonly number[], tolerance = 1e-5): void => {
  const size = Math.max(...theirs.map(Math.abs));
  theirs.forEach((value, i) => { expect(Math.abs(ours[i]! - value) / size).toBeLessThan(tolerance); });
};

describe('R3GAN', () => {
  const { config, ...wanted } = oracle;
  const shared = { condition: config.cond, embedding: config.emb };
  const generator = r3ganGenerator({ noise: config.noise, widths: config.g.widths, cardinalities: config.g.cards, blocks: config.g.blocks, ...shared });
  const critic = r3ganCritic({ widths: config.d.widths, cardinalities: config.d.cards, blocks: config.d.blocks, ...shared });
  const lcg = (k: number, shape: number[]): Float32Array => generatedWeights([{ name: 'x', shape, scale: 1 }], 41 + k * 7919)['x']!.data;
  const inputs = () => ({ noise: tf.tensor2d(lcg(900, [2, 5]), [2, 5]), condition: tf.tensor2d([[1, 0, 0], [0, 0, 1]]), real: tf.transpose(tf.tensor4d(lcg(901, [2, 3, 16, 16]), [2, 3, 16, 16]), [0, 2, 3, 1]) as tf.Tensor4D });
  const [ofG, ofD] = [generatedWeights(oracle.generator, 41), generatedWeights(oracle.critic, 42)];

  it('names its parameters as the reference does', () => {
    const named = (network: { specs: ReadonlyMap<string, unknown> }): string[] => [...network.specs.keys()].filter((name) => !name.endsWith('.Kernel')).sort();
    expect(named(generator)).toEqual(Object.keys(ofG).sort());
    expect(named(critic)).toEqual(Object.keys(ofD).sort());
  });

  it('makes the reference\'s images and generator step', leakFree(async () => {
    const names = Object.keys(ofG);
    const found = await numbers(() => {
      const { noise, condition, real } = inputs();
      const [params, constants] = [paramsFrom(ofG), paramsFrom(ofD)];
      const { loss, grads, extra } = gradientsOf(names.map((name) => params[name]!), () => {
        const fake = generator.apply(params, noise, condition);
        const logits = { realLogits: critic.apply(constants, real, condition), fakeLogits: critic.apply(constants, fake, condition) };
        return { loss: relativisticPairing.generator(logits), extra: { fake, ...logits } };
      });
      return tf.concat([loss, ...grads.map((grad) => tf.norm(grad)), extra.realLogits, extra.fakeLogits, tf.transpose(extra.fake, [0, 3, 1, 2])].map((x) => tf.reshape(x, [-1])));
    });
    close(found.slice(0, 1), [wanted.generatorLoss]);
    close(found.slice(1, 1 + names.length), names.map((name) => wanted.generatorGrads[name]!));
    close(found.slice(1 + names.length), [...wanted.realLogits, ...wanted.fakeLogits, ...wanted.fake]);
  }));

  it('makes the reference\'s critic step, differentiated twice', leakFree(async () => {
    const names = Object.keys(ofD);
    const found = await numbers(() => {
      const { noise, condition, real } = inputs();
      const params = paramsFrom(ofD);
      const fake = generator.apply(paramsFrom(ofG), noise, condition);
      const { loss, grads, extra } = gradientsOf(names.map((name) => params[name]!), () => {
        const judge = (x: tf.Tensor4D): tf.Tensor => critic.apply(params, x, condition);
        const [onReal, onFake] = [judgedWithGradient(judge, real), judgedWithGradient(judge, fake)];
        const adversarial = relativisticPairing.critic({ realLogits: onReal.logits, fakeLogits: onFake.logits });
        return { loss: tf.add(adversarial, tf.div(tf.mean(tf.add(onReal.squaredNorms, onFake.squaredNorms)), 2)) as tf.Scalar, extra: [onReal.squaredNorms, onFake.squaredNorms] };
      });
      return tf.concat([loss, ...grads.map((grad) => tf.norm(grad)), ...extra].map((x) => tf.reshape(x, [-1])));
    });
    close(found.slice(0, 1), [wanted.criticLoss]);
    close(found.slice(1, 1 + names.length), names.map((name) => wanted.criticGrads[name]!), 2e-5);
    close(found.slice(1 + names.length), [...wanted.r1, ...wanted.r2]);
  }));

  it('starts with blocks that change nothing', leakFree(async () => {
    const sizes = { widths: [4, 4], cardinalities: [2, 2] };
    const [deep, shallow] = [[3, 2], [1, 1]].map((blocks) => makeNet(r3ganCritic({ ...sizes, blocks }), { key: seeded(3) })) as [ReturnType<typeof makeNet>, ReturnType<typeof makeNet>];
    const logits = async (net: typeof deep, blocks: number): Promise<number[]> => numbers(() => {
      // Parameters outside the blocks are drawn by name: the last layer's depends on how many blocks stand before it.
      const params = Object.fromEntries([...net.network.specs].map(([name, { shape, init }]) => [name, tf.tensor(init(seeded(/Layers.1.Layers/.test(name) && /Basis|LinearLayer.weight/.test(name) ? 1 : 2), shape), [...shape])]));
      expect(Object.keys(params).filter((name) => name.includes('LinearLayer3')).length).toBe(blocks);
      return (net.network.apply as (p: unknown, x: tf.Tensor4D) => tf.Tensor)(params, image(5, [2, 8, 8, 3]));
    });
    expect(await logits(deep, 5)).toEqual(await logits(shallow, 2));
    expect(activationGain).toBeCloseTo(1.38675, 5);
    free({ deep, shallow });
  }));

  it('has about the published number of parameters', () => {
    const same = (n: number, value: number): number[] => new Array<number>(n).fill(value);
    const cifar = r3ganGenerator({ noise: 64, widths: same(4, 768), cardinalities: same(4, 96), blocks: same(4, 2) });
    const ffhq = r3ganGenerator({ noise: 64, widths: [...same(4, 768), 384, 192, 96], cardinalities: [...same(4, 96), 48, 24, 12], blocks: same(7, 2) });
    expect(countParams(cifar) / 1e6).toBeCloseTo(20.7, 1);
    expect(countParams(ffhq) / 1e6).toBeCloseTo(23.1, 1);
  });

  it('says what does not fit', leakFree(() => {
    expect(() => r3ganCritic({ widths: [4, 4], cardinalities: [2], blocks: [1, 1] })).toThrow('r3ganCritic: expected as many cardinalities and blocks as widths but received 1, 2 and 2');
    expect(() => r3ganGenerator({ noise: 4, widths: [4], cardinalities: [3], blocks: [1] })).toThrow('r3ganGenerator: expected cardinality 3 to divide 8 channels');
    const net = makeNet(r3ganCritic({ widths: [4, 4], cardinalities: [2, 2], blocks: [1, 1] }), { key: seeded(1) });
    expect(() => tf.tidy(() => applyNet(net)(tf.zeros([1, 16, 16, 3])))).toThrow('r3ganCritic: expected 4 x 4 values at the last stage but received 8 x 8');
    expect(() => tf.tidy(() => applyNet(net)(tf.zeros([1, 8, 8, 3]), tf.zeros([1, 2])))).toThrow('r3ganCritic: expected no condition but received one');
    free({ net });
  }));
});

describe('low-pass resampling', () => {
  const taps = lowPassTaps([1, 2, 1]);
  it('keeps a constant away from the border, and ramps', leakFree(async () => {
    expect(taps).toEqual([1 / 8, 3 / 8, 3 / 8, 1 / 8]);
    const up = await numbers(() => tf.slice(upsampleLowPass(tf.ones([1, 6, 6, 2]), taps, 1), [0, 2, 2, 0], [1, 8, 8, 2]));
    expect(up.every((x) => Math.abs(x - 1) < 1e-6)).toBe(true);
    const down = await numbers(() => downsampleLowPass(tf.reshape(tf.range(0, 8), [1, 1, 8, 1]).tile([1, 8, 1, 1]) as tf.Tensor4D, taps, 1));
    // Away from the border a ramp's values between pixels.
    expect(down[4 + 1]).toBeCloseTo(2.5, 5);
    expect(down[4 + 2]).toBeCloseTo(4.5, 5);
  }));

  it('is its own transpose, up to the gain of 4', leakFree(async () => {
    const [a, b] = [await numbers(() => tf.sum(tf.mul(downsampleLowPass(image(1, [1, 8, 6, 2]), taps, 1), image(2, [1, 4, 3, 2])))), await numbers(() => tf.sum(tf.mul(image(1, [1, 8, 6, 2]), upsampleLowPass(image(2, [1, 4, 3, 2]), taps, 1))))];
    expect(b[0]! / a[0]!).toBeCloseTo(4, 4);
  }));
});

describe('groupedConvolve', () => {
  it.each([[1, 3], [2, 3], [4, 1], [2, 5]])('in %i groups of kernel %i is the convolutions of its groups', async (groups, k) => leakFree(async () => {
    const [x, weight] = [image(3, [2, 5, 6, 8]), drawn<tf.Rank.R4>(4, [12, 8 / groups, k, k])];
    const ours = await numbers(() => groupedConvolve(x, weight, groups));
    const parts = await numbers(() => {
      const weights = tf.split(weight, groups, 0) as tf.Tensor4D[];
      return tf.concat((tf.split(x, groups, 3) as tf.Tensor4D[]).map((part, i) => convolve(part, weights[i]!, { padding: (k - 1) / 2 })), 3);
    });
    close(ours, parts);
    expect(() => tf.tidy(() => groupedConvolve(x, weight, 5))).toThrow(RangeError);
    tf.dispose([x, weight]);
  })());
});
