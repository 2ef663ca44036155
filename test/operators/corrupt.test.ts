import { from, map, type OperatorFunction } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { type Corrupted, estimateOf, regress } from '../../src/losses/regress.ts';
import type { Latents } from '../../src/models/codec.ts';
import { makeNet } from '../../src/models/net.ts';
import { buildNetwork } from '../../src/models/network.ts';
import { corrupt } from '../../src/operators/corrupt.ts';
import { dream } from '../../src/operators/dream.ts';
import { minSnr } from '../../src/operators/minSnr.ts';
import { fold, normal, seeded } from '../../src/random.ts';
import { ddpm } from '../../src/schedules/processes/ddpm.ts';
import { flow } from '../../src/schedules/processes/flow.ts';
import { lbm } from '../../src/schedules/processes/lbm.ts';
import type { Batch } from '../../src/streams/frames.ts';
import { release } from '../../src/streams/mapTensors.ts';
import * as tf from '../../src/tf.ts';
import { batchAt, leakFree } from '../support.ts';
import { keepsTheContract } from './contract.ts';

type Frame = Batch & Latents;
const key = seeded(5);
const load = (batch: Batch): Frame => ({
  ...batch, sourceLatent: tf.tensor4d(normal(fold(key, 'a'), 36), [3, 2, 2, 3]), targetLatent: tf.tensor4d(normal(fold(key, 'b'), 36), [3, 2, 2, 3]),
});
const read = async <F extends object>(operator: OperatorFunction<Frame, F>, look: (frame: F) => Readonly<Record<string, tf.Tensor>>, step = 0): Promise<Record<string, number[]>> => {
  const found: F[] = [];
  from([batchAt(step)]).pipe(map(load), operator).subscribe((frame) => { found.push(frame); });
  const frame = found[0] as F;
  const seen = tf.tidy(() => look(frame) as tf.NamedTensorMap);
  const values = Object.fromEntries(await Promise.all(Object.entries(seen).map(async ([name, tensor]) => [name, Array.from(await tensor.data())] as const)));
  tf.dispose([seen, frame as tf.TensorContainer]);
  return values;
};
const silent = makeNet(buildNetwork('silent', {}, () => (_params, x: tf.Tensor4D) => tf.zerosLike(x)), { key });
const saysNothing = (_net: unknown, frame: Corrupted) => ({ output: tf.zerosLike(frame.noisy) });

describe('corrupt', () => {
  keepsTheContract(() => corrupt<Frame>(flow(), { key }), load);
  keepsTheContract(() => corrupt<Frame>(lbm(), { key }), load);

  it('makes an input and a goal whose right answer estimates the target', leakFree(async () => {
    for (const process of [ddpm({ steps: 50 }), ddpm({ schedule: 'linear', steps: 50, prediction: 'epsilon' }), flow()]) {
      const { estimate, target } = await read(corrupt(process, { key }), (frame) => ({ estimate: estimateOf({ ...frame, output: frame.goal }), target: tf.clone(frame.targetLatent) }));
      estimate!.forEach((value, i) => expect(value).toBeCloseTo(target![i]!, 3));
    }
  }));

  it('mixes the noise that a frame brings instead of its own', leakFree(async () => {
    const brought = map((frame: Frame) => ({ ...frame, eps: tf.zeros<tf.Rank.R4>([3, 2, 2, 3]) }));
    const { goal, expected } = await read((source) => source.pipe(brought, corrupt(flow(), { key })), (frame) => ({ goal: tf.clone(frame.goal), expected: tf.neg(frame.targetLatent) }));
    goal!.forEach((value, i) => expect(value).toBeCloseTo(expected![i]!, 6));
  }));

  it('draws times and noise as functions of seed and step', leakFree(async () => {
    const look = (frame: Corrupted) => ({ t: tf.clone(frame.t), noisy: tf.clone(frame.noisy) });
    const [a, again, later, other] = [await read(corrupt(flow(), { key }), look, 3), await read(corrupt(flow(), { key }), look, 3), await read(corrupt(flow(), { key }), look, 4), await read(corrupt(flow(), { key: seeded(6) }), look, 3)];
    expect(a).toEqual(again);
    expect(a.t).not.toEqual(later!.t);
    expect(a.noisy).not.toEqual(other!.noisy);
    expect(new Set(a.t).size).toBe(3);
  }));

  it('starts LBM exactly at the source where t is 1', leakFree(async () => {
    const { noisy, source } = await read(corrupt(lbm({ times: [1] }), { key }), (frame) => ({ noisy: tf.clone(frame.noisy), source: tf.clone(frame.sourceLatent) }));
    expect(noisy).toEqual(source);
  }));
});

describe('minSnr', () => {
  keepsTheContract(() => (source) => source.pipe(corrupt<Frame>(ddpm({ steps: 50 }), { key }), minSnr()), load);

  it('multiplies the weight by min(SNR, gamma) times the squared share of the answer', leakFree(async () => {
    const { weight, expected } = await read((source) => source.pipe(corrupt(ddpm({ steps: 50 }), { key }), minSnr({ gamma: 2 })), (frame) => ({
      weight: tf.clone(frame.weight), expected: tf.reshape(tf.mul(tf.minimum(frame.mix.snr, 2), tf.square(frame.mix.end)), [-1]),
    }));
    weight!.forEach((value, i) => expect(value).toBeCloseTo(expected![i]!, 4));
  }));

  it.each(['noise', 'source'] as const)('is min(SNR, 5) t^2 on a flow from %s, with SNR = ((1 - t) / t)^2', (from) => leakFree(async () => {
    const { weight, t } = await read((source) => source.pipe(corrupt(flow({ from, noise: 0 }), { key }), minSnr()), (frame) => ({ weight: tf.clone(frame.weight), t: tf.div(frame.t, 1000) }));
    weight!.forEach((value, i) => expect(value).toBeCloseTo(Math.min(((1 - t![i]!) / t![i]!) ** 2, 5) * t![i]! ** 2, 5));
  })());

  it('refuses a gamma that is not positive', () => { expect(() => minSnr({ gamma: 0 })).toThrow(/expected gamma to be positive but received 0/); });
});

describe('dream', () => {
  const eps = ddpm({ schedule: 'linear', steps: 50, prediction: 'epsilon' });
  keepsTheContract(() => (source) => source.pipe(corrupt<Frame>(eps, { key }), dream(silent, saysNothing)), load);

  it('adds what the network misses: for a silent one, input and goal grow by lambda eps', leakFree(async () => {
    const plain = await read(corrupt(eps, { key }), (frame) => ({ noisy: tf.clone(frame.noisy), goal: tf.clone(frame.goal), sigma: tf.add(tf.zerosLike(frame.noisy), frame.mix.end) }));
    const seen = await read((source) => source.pipe(corrupt(eps, { key }), dream(silent, saysNothing)), (frame) => ({ noisy: tf.clone(frame.noisy), goal: tf.clone(frame.goal) }));
    seen.goal!.forEach((value, i) => expect(value).toBeCloseTo(plain.goal![i]! * (1 + plain.sigma![i]!), 3));
    seen.noisy!.forEach((value, i) => expect(value).toBeCloseTo(plain.noisy![i]! + plain.sigma![i]! ** 2 * plain.goal![i]!, 3));
  }));

  it('keeps the meaning of the pair: the right answer still estimates the target, for eps, x0, v and flow from both ends', leakFree(async () => {
    for (const process of [eps, ddpm({ steps: 50, prediction: 'sample' }), ddpm({ steps: 50 }), flow(), flow({ from: 'source', noise: 0 })]) {
      const { estimate, target } = await read((source) => source.pipe(corrupt(process, { key }), dream(silent, saysNothing)),
        (frame) => ({ estimate: estimateOf({ ...frame, output: frame.goal }), target: tf.clone(frame.targetLatent) }));
      estimate!.forEach((value, i) => expect(value).toBeCloseTo(target![i]!, 2));
    }
  }));

  it('puts the estimate in the place of the target on a path from the source', leakFree(async () => {
    // A silent network says the target is the input, z = (1 - t) y + t x: with p = 0 the new input is (1 - t) z + t x.
    const process = flow({ from: 'source', noise: 0 });
    const { noisy, expected } = await read((source) => source.pipe(corrupt(process, { key }), dream(silent, saysNothing, { power: 0 })), (frame) => {
      const t = tf.reshape(tf.div(frame.t, 1000), [-1, 1, 1, 1]);
      const z = tf.add(tf.mul(frame.targetLatent, tf.sub(1, t)), tf.mul(frame.sourceLatent, t));
      return { noisy: tf.clone(frame.noisy), expected: tf.add(tf.mul(z, tf.sub(1, t)), tf.mul(frame.sourceLatent, t)) };
    });
    noisy!.forEach((value, i) => expect(value).toBeCloseTo(expected![i]!, 4));
  }));

  it('changes nothing when the network is right', leakFree(async () => {
    const right = (_net: unknown, frame: Corrupted) => ({ output: tf.clone(frame.goal) });
    const plain = await read(corrupt(eps, { key }), (frame) => ({ noisy: tf.clone(frame.noisy) }));
    const seen = await read((source) => source.pipe(corrupt(eps, { key }), dream(silent, right)), (frame) => ({ noisy: tf.clone(frame.noisy) }));
    seen.noisy!.forEach((value, i) => expect(value).toBeCloseTo(plain.noisy![i]!, 3));
  }));

  it('refuses a negative power', () => { expect(() => dream(silent, saysNothing, { power: -1 })).toThrow(/expected power to be at least 0 but received -1/); });
});

describe('regress', () => {
  it('is the mean over images of weight times mean squared error', leakFree(async () => {
    const loss = tf.tidy(() => regress({ output: tf.ones([2, 1, 1, 2]), goal: tf.tensor4d([1, 3, 0, 1], [2, 1, 1, 2]), weight: tf.tensor1d([0.5, 4]) } as unknown as Parameters<typeof regress>[0]));
    expect([...await loss.data()][0]).toBeCloseTo((0.5 * 2 + 4 * 0.5) / 2, 6);
    release(loss);
  }));
});
