import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { lastValueFrom, of } from 'rxjs';
import { EngineError } from '../../src/errors.ts';
import { makeNet } from '../../src/models/net.ts';
import { buildNetwork } from '../../src/models/network.ts';
import { conv2d, groupNorm, silu } from '../../src/models/nn.ts';
import { backward } from '../../src/operators/backward.ts';
import { ema } from '../../src/operators/ema.ts';
import { weighted } from '../../src/losses/objective.ts';
import { adam } from '../../src/optim/adam.ts';
import { fold, normal, seeded } from '../../src/random.ts';
import type { Pair } from '../../src/streams/frames.ts';
import { settle } from '../../src/streams/settle.ts';
import * as tf from '../../src/tf.ts';

const numbers = async (t: tf.Tensor): Promise<number[]> => Array.from(await t.data());

/** A net of two convolutions and one training step of it, at a learning rate that changes from step to step. */
const trainer = (size = 6) => {
  const network = buildNetwork('tiny', {}, (root) => {
    const [first, norm, second] = [conv2d(root.at('first'), { from: 3, to: 8, padding: 1 }), groupNorm(root.at('norm'), { groups: 2, channels: 8 }), conv2d(root.at('second'), { from: 8, to: 3, padding: 1 })];
    return (params, x: tf.Tensor4D) => second(params, silu(norm(params, first(params, x))) as tf.Tensor4D);
  });
  const net = makeNet(network, { key: seeded(1), optimizer: adam(), lr: (step) => 1e-3 / (step + 1), shadow: true });
  const image = (name: string, step: number, side: number): tf.Tensor4D => tf.tensor4d(normal(fold(seeded(2), name, step), 2 * side * side * 3), [2, side, side, 3]);
  const step = async (i: number, side = size): Promise<number> => {
    const frame: Pair = { step: i, epoch: 0, ids: ['a', 'b'], source: image('source', i, side), target: image('target', i, side) };
    const { metrics } = await lastValueFrom(of(frame).pipe(
      backward(net, (apply, { source }: Pair) => ({ predicted: apply(source) }), weighted({ l2: [1, ({ predicted, target }) => tf.mean(tf.squaredDifference(predicted, target))] })),
      ema(net, { halfLife: 100 }),
      settle(),
    ));
    return metrics['tiny.loss'] as number;
  };
  return { net, step, stop: () => { tf.dispose({ ...net.variables }); } };
};

describe('flush', () => {
  let lazy = false;
  beforeAll(() => { lazy = tf.getBackend().startsWith('onnx'); });
  let tensors = 0;
  beforeEach(async () => { await tf.flush(); tensors = tf.memory().numTensors; tf.resetEngineStats(); });
  afterEach(() => { expect(tf.memory().numTensors).toBe(tensors); });

  it('runs what is wanted when it is called: later disposal and later recording do not matter', async () => {
    const x = tf.tensor1d([1, 2, 3]);
    const y = tf.mul(x, 2);
    const flushed = tf.flush();
    const z = tf.add(y, 1);
    const read = y.data();
    tf.dispose([x, y]);
    await flushed;
    expect(Array.from(await read)).toEqual([2, 4, 6]);
    expect(await numbers(z)).toEqual([3, 5, 7]);
    if (lazy) expect(tf.engineStats().runs).toBe(2);
    z.dispose();
  });

  it('computes nothing that is not wanted any more', async () => {
    const x = tf.tensor1d([1, 2]);
    tf.tidy(() => { tf.exp(tf.mul(x, 3)); });
    await tf.flush();
    expect(tf.engineStats().runs).toBe(0);
    x.dispose();
  });

  it('keeps what it computed for whoever asks later', async () => {
    const x = tf.tensor1d([1, 2]);
    const y = tf.square(x);
    await tf.flush();
    expect(await numbers(y)).toEqual([1, 4]);
    const z = tf.add(y, y);
    expect(await numbers(z)).toEqual([2, 8]);
    expect(await numbers(y)).toEqual([1, 4]);
    expect(tf.engineStats().runs).toBe(lazy ? 2 : 0);
    tf.dispose([x, y, z]);
  });

  it('hands values over to variables without a copy', async () => {
    const v = tf.tidy(() => tf.variable(tf.tensor1d([1, 1]), false));
    for (let i = 0; i < 3; i++) { tf.tidy(() => { v.assign(tf.mul(v, 2) as tf.Tensor1D); }); await tf.flush(); }
    const { uploaded, downloaded, compilations } = tf.engineStats();
    if (lazy) expect({ uploaded, downloaded, compilations }).toEqual({ uploaded: 8, downloaded: 0, compilations: 1 });
    expect(await numbers(v)).toEqual([8, 8]);
    v.dispose();
  });

  it('compiles one graph for 50 steps, whatever the learning rate does, and one more for another shape', async () => {
    const { step, stop } = trainer();
    const losses: number[] = [];
    for (let i = 0; i < 50; i++) losses.push(await step(i));
    expect(losses.every(Number.isFinite)).toBe(true);
    if (lazy) expect(tf.engineStats()).toMatchObject({ compilations: 1, runs: 50 });
    await step(50, 8);
    await step(51);
    await step(52, 8);
    if (lazy) expect(tf.engineStats()).toMatchObject({ compilations: 2, runs: 53 });
    stop();
  });

  it('runs products of one operand at several scales, as adapters of several strengths have', async () => {
    const [x, w] = [tf.tensor2d([[1, 2]]), tf.tensor2d([[3, 4], [5, 6]])];
    const product = (strength: number): tf.Tensor => tf.matMul(x, tf.mul<tf.Tensor2D>(tf.mul(w, 0.5), strength), false, true);
    const [one, two] = tf.tidy(() => [product(1), product(2)]) as [tf.Tensor, tf.Tensor];
    await tf.flush();
    expect([await numbers(one), await numbers(two)]).toEqual([[5.5, 8.5], [11, 17]]);
    tf.dispose([x, w, one, two]);
  });

  it('chooses between large values by one boolean, whatever is in the other, as it does between small ones', async () => {
    for (const size of [4, 40_000]) {
      const v = tf.tidy(() => tf.variable(tf.zeros([size]), false));
      const spoilt = new Float32Array(size).fill(Number.NaN);
      for (const [keep, step] of [[false, 1], [true, Number.NaN], [false, 2], [true, Infinity]] as const) {
        tf.tidy(() => { v.assign(tf.where(tf.scalar(keep, 'bool'), v, tf.add(v, step)) as tf.Tensor1D); });
        await tf.flush();
      }
      const chosen = tf.tidy(() => [tf.where(tf.scalar(true, 'bool'), v as tf.Tensor, tf.tensor1d(spoilt)), tf.where(tf.scalar(false, 'bool'), v as tf.Tensor, tf.tensor2d(spoilt, [2, size / 2]).transpose().reshape([size]))]);
      const [first, second] = await Promise.all(chosen.map(numbers)) as [number[], number[]];
      expect(new Set(first)).toEqual(new Set([3]));
      expect(first).toHaveLength(size);
      expect(new Set(second)).toEqual(new Set([Number.NaN]));
      tf.dispose([v, ...chosen]);
    }
  });

  it('compiles once more when a number written in the code changes, and not again', async () => {
    const x = tf.tensor1d([1, 2]);
    for (let i = 0; i < 6; i++) { const y = tf.maximum(x, i); expect(await numbers(y)).toEqual([Math.max(1, i), Math.max(2, i)]); y.dispose(); }
    if (lazy) expect(tf.engineStats().compilations).toBe(2);
    x.dispose();
  });

  it('takes scalars and filled tensors as values, not as structure', async () => {
    const x = tf.tensor1d([1, 2]);
    for (let i = 0; i < 4; i++) { const s = tf.scalar(i); const y = tf.add(x, s); expect(await numbers(y)).toEqual([1 + i, 2 + i]); tf.dispose([s, y]); }
    if (lazy) expect(tf.engineStats().compilations).toBe(1);
    for (let i = 0; i < 4; i++) { const y = tf.tidy(() => tf.add(x, tf.fill([2], i))); expect(await numbers(y)).toEqual([1 + i, 2 + i]); y.dispose(); }
    if (lazy) expect(tf.engineStats().compilations).toBeLessThanOrEqual(3);
    x.dispose();
  });

  it('gives bit for bit the same numbers for the same steps', async () => {
    const runs = [];
    for (let run = 0; run < 2; run++) {
      const { net, step, stop } = trainer();
      for (let i = 0; i < 5; i++) await step(i);
      runs.push(await Promise.all(Object.values(net.variables).map(numbers)));
      stop();
    }
    expect(runs[1]).toEqual(runs[0]);
  });
});

describe('errors', () => {
  let lazy = false;
  beforeAll(() => { lazy = tf.getBackend().startsWith('onnx'); });

  it('names the operation whose pending result is read synchronously', async (context) => {
    if (!lazy) return context.skip();
    const y = tf.tidy(() => tf.softplus(tf.tensor1d([1, 2])));
    expect(() => y.dataSync()).toThrow(EngineError);
    expect(() => y.dataSync()).toThrow(/result of Softplus was read synchronously.*await tensor\.data\(\)/);
    await y.data();
    y.dispose();
  });

  it('names a missing kernel, the executor and who wanted it', (context) => {
    if (!lazy) return context.skip();
    const [boxes, scores] = [tf.tensor2d([[0, 0, 1, 1]]), tf.tensor1d([1])];
    expect(() => tf.image.nonMaxSuppression(boxes, scores, 1)).toThrow(/onnx-\w+ has no kernel NonMaxSuppressionV3, which tf\.nonMaxSuppression wants; .*MILLRACE_BACKEND=cpu/);
    tf.dispose([boxes, scores]);
  });

  it('says what failed when a graph does, to everyone who waits for it, and goes on', async (context) => {
    if (!lazy) return context.skip();
    const huge = tf.tidy(() => tf.sum(tf.exp(tf.mul(tf.zeros([2 ** 20, 1]), tf.tensor2d(new Float32Array(2 ** 21), [1, 2 ** 21]))), 0));
    const flushed = tf.flush();
    await expect(flushed).rejects.toThrow(EngineError);
    await expect(huge.data()).rejects.toThrow(/onnx-\w+/);
    huge.dispose();
    const y = tf.tidy(() => tf.add(tf.tensor1d([1]), 1));
    expect(await numbers(y)).toEqual([2]);
    y.dispose();
  });
});
