import { firstValueFrom, of } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { adaptively, adaptiveWeight, featureMatching, normalisedGradient } from '../../src/losses/adaptive.ts';
import { weighted } from '../../src/losses/objective.ts';
import { gaussian } from '../../src/models/init.ts';
import { makeNet } from '../../src/models/net.ts';
import { buildNetwork, param } from '../../src/models/network.ts';
import { gradientsOf } from '../../src/models/tape.ts';
import { backward } from '../../src/operators/backward.ts';
import { sgd } from '../../src/optim/sgd.ts';
import { seeded } from '../../src/random.ts';
import { release } from '../../src/streams/mapTensors.ts';
import { free } from '../../src/streams/scoped.ts';
import * as tf from '../../src/tf.ts';
import { batchAt, leakFree } from '../support.ts';

const numbers = async (f: () => tf.Tensor): Promise<number[]> => { const x = tf.tidy(f); const data = [...await x.data()]; x.dispose(); return data; };

describe('adaptiveWeight', () => {
  /** The weight for the linear losses a . w and b . w, and d/dw of (a . w + weight b . w). */
  const linear = (a: number[], b: number[], options = {}): Promise<number[]> => numbers(() => {
    const w = tf.tensor1d([1, 2]);
    const { grads, extra } = gradientsOf([w], () => {
      const [first, second] = [tf.sum(tf.mul(w, tf.tensor1d(a))), tf.sum(tf.mul(w, tf.tensor1d(b)))] as [tf.Scalar, tf.Scalar];
      const weight = adaptiveWeight(first, second, w, options);
      return { loss: tf.add(first, tf.mul(second, weight)) as tf.Scalar, extra: weight };
    });
    return tf.concat([tf.reshape(extra, [1]), grads[0] as tf.Tensor1D]);
  });

  it('is half the ratio of the gradients\' lengths, and a constant', leakFree(async () => {
    const [weight, x, y] = await linear([3, 4], [0, 2]) as [number, number, number];
    expect(weight).toBeCloseTo(0.5 * 5 / 2.0001, 6);
    expect(x).toBeCloseTo(3, 6);
    expect(y).toBeCloseTo(4 + 2 * weight, 5);
    expect((await linear([3, 4], [0, 2], { scale: 1, eps: 0 }))[0]).toBeCloseTo(2.5, 6);
  }));

  it('is bounded', leakFree(async () => {
    expect((await linear([3, 4], [0, 0], { bound: 7 }))[0]).toBeCloseTo(3.5, 6);
    expect((await linear([3, 4], [0, 0]))[0]).toBeCloseTo(5000, 2);
  }));

  it('is part of an objective, through a backward step and its parameters', leakFree(async () => {
    const network = buildNetwork('generator', {}, (root) => {
      const weight = root.param('last.weight', [2], gaussian(1));
      const inner = root.param('first.weight', [2], gaussian(1));
      return (params, x: tf.Tensor) => tf.mul(tf.mul(x, param(params, inner)), param(params, weight));
    });
    const net = makeNet(network, { key: seeded(2), optimizer: sgd(), lr: () => 1 });
    const before = await net.weights.data();
    const [w0, w1, v0, v1] = before as unknown as [number, number, number, number];
    const step = backward<ReturnType<typeof frame>, [tf.Tensor], tf.Tensor, { fake: tf.Tensor; last: tf.Tensor }>(net, (apply, { x }, params) => ({ fake: apply(x), last: param(params, 'last.weight') }),
      adaptively(weighted({ first: [1, ({ fake }) => tf.sum(fake) as tf.Scalar] }), ({ fake }) => tf.mul(tf.sum(tf.square(fake)), 0.5) as tf.Scalar,
        { lastLayer: ({ last }) => last, factor: () => tf.scalar(0.5) }));
    const frame = () => ({ ...batchAt(0), x: tf.tensor1d([2, 3]) });
    const done = await firstValueFrom(of(frame()).pipe(step));
    // By hand: fake_i = x_i v_i w_i.
    const [a, b] = [[2 * v0, 3 * v1], [4 * v0 * v0 * w0, 9 * v1 * v1 * w1]] as [number[], number[]];
    const weight = 0.5 * 0.5 * Math.hypot(...a) / (Math.hypot(...b) + 1e-4);
    expect((await done.metrics['generator.adversarialWeight']!.data())[0]).toBeCloseTo(weight, 4);
    const after = await net.weights.data();
    expect(after[0]! - w0).toBeCloseTo(-(a[0]! + weight * b[0]!), 4);
    expect(after[3]! - v1).toBeCloseTo(-(3 * w1 + weight * 9 * v1 * w1 * w1), 4);
    release(done);
    free({ net });
  }));
});

describe('normalisedGradient', () => {
  it('is the identity, with a gradient of its weight\'s length', leakFree(async () => {
    const found = await numbers(() => {
      const x = tf.tensor2d([[1, 2], [3, 4]]);
      const { loss, grads } = gradientsOf([x], () => ({ loss: tf.sum(tf.mul(normalisedGradient(x, 0.5), tf.tensor2d([[3, 0], [0, -4]]))) as tf.Scalar, extra: undefined }));
      return tf.concat([tf.reshape(loss, [1]), tf.reshape(grads[0]!, [4])]);
    });
    [3 - 16, 0.3, 0, 0, -0.4].forEach((value, i) => { expect(found[i]).toBeCloseTo(value, 5); });
  }));

  it('adds up from several losses on one image', leakFree(async () => {
    const found = await numbers(() => {
      const x = tf.tensor1d([1, 1]);
      return gradientsOf([x], () => ({ loss: tf.add(tf.sum(tf.mul(normalisedGradient(x, 2), tf.tensor1d([100, 0]))), tf.sum(tf.mul(normalisedGradient(x, 1), tf.tensor1d([0, 1e-3])))) as tf.Scalar, extra: undefined })).grads[0]!;
    });
    expect(found[0]).toBeCloseTo(2, 5);
    expect(found[1]).toBeCloseTo(1, 4);
  }));
});

describe('featureMatching', () => {
  it('averages over layers, each by its mean', leakFree(async () => {
    expect(await numbers(() => featureMatching([tf.tensor1d([1, 2]), tf.tensor1d([0, 0, 0, 4])], [tf.tensor1d([2, 4]), tf.tensor1d([0, 0, 0, 0])]))).toEqual([1.25]);
    expect(() => featureMatching([], [])).toThrow('featureMatching: expected equally many features of both but received 0 and 0');
  }));
});
