import { describe, expect, it } from 'vitest';
import { buildNetwork } from '../../src/models/network.ts';
import { groupNorm, layerNorm, silu } from '../../src/models/nn.ts';
import { gradientsOf } from '../../src/models/tape.ts';
import { approximateZeroCentred, judgedWithGradient, lazyAdam, lecam, oneCentred, zeroCentred } from '../../src/losses/penalties.ts';
import * as tf from '../../src/tf.ts';
import { leakFree } from '../support.ts';
import { differsFromDifferences, drawn, image } from './differences.ts';

const numbers = async (f: () => tf.Tensor): Promise<number[]> => {
  const value = tf.tidy(f);
  const data = [...await value.data()];
  value.dispose();
  return data;
};

const squares = (x: ArrayLike<number>): number => Array.from(x).reduce((sum, value) => sum + value * value, 0);

/** A small critic of what is differentiated twice in practice: strided convolution, group norm, silu, matmul. (Behind a kink the penalty jumps, which differences would see.) */
const layers = buildNetwork('critic', {}, (root) => {
  const [norm, layer] = [groupNorm(root.at('norm'), { groups: 2, channels: 4, eps: 1e-3 }), layerNorm(root.at('layer'), { channels: 64, eps: 1e-3 })];
  return (params, y: tf.Tensor4D) => layer(params, tf.reshape(silu(norm(params, y)), [y.shape[0], 64]));
});
const sizes = [4 * 4 * 3 * 4, 4, 4, 64, 64, 64] as const;
const total = sizes.reduce((a, b) => a + b, 0);
const critic = (weights: tf.Tensor) => (x: tf.Tensor4D): tf.Tensor => {
  const [kernel, gain, bias, second, third, matrix] = tf.split(tf.reshape(weights, [-1]), [...sizes]) as [tf.Tensor1D, tf.Tensor1D, tf.Tensor1D, tf.Tensor1D, tf.Tensor1D, tf.Tensor1D];
  const y = tf.conv2d(x, tf.reshape(kernel, [4, 4, 3, 4]), 2, [[0, 0], [1, 1], [1, 1], [0, 0]]);
  const z = layers.apply({ 'norm.weight': tf.add(gain, 1), 'norm.bias': bias, 'layer.weight': tf.add(second, 1), 'layer.bias': third }, y);
  return tf.matMul(silu(z), tf.reshape(matrix, [64, 1]));
};

describe('gradient penalties', () => {
  it('are the squared weights of a linear critic', leakFree(async () => {
    const weights = drawn<tf.Rank.R4>(1, [1, 4, 4, 3]);
    const linear = (x: tf.Tensor4D): tf.Tensor => tf.sum(tf.mul(x, weights), [1, 2, 3]);
    const expected = squares(await weights.data());
    const [r1] = await numbers(() => zeroCentred(linear, image(2, [3, 4, 4, 3])));
    expect(r1! / expected).toBeCloseTo(1, 5);
    const [gp] = await numbers(() => oneCentred(linear, image(2, [3, 4, 4, 3]), image(3, [3, 4, 4, 3]), tf.fill([3, 1, 1, 1], 0.3)));
    expect(gp! / (Math.sqrt(expected) - 1) ** 2).toBeCloseTo(1, 5);
    // (w . n)^2 has mean |w|^2; its relative deviation over 3000 draws is sqrt(2 / 3000).
    const [fd] = await numbers(() => approximateZeroCentred(linear, tf.zeros([3000, 4, 4, 3]), drawn(4, [3000, 4, 4, 3])));
    expect(Math.abs(fd! / expected - 1)).toBeLessThan(4 * Math.sqrt(2 / 3000));
    weights.dispose();
  }));

  it('judge a map of logits by its sum', leakFree(async () => {
    const map = (x: tf.Tensor4D): tf.Tensor => tf.mul(x, 2);
    expect(await numbers(() => zeroCentred(map, image(1, [2, 3, 3, 1])))).toEqual([36]);
    const [fd] = await numbers(() => approximateZeroCentred(map, tf.zeros([1, 3, 3, 1]), tf.ones([1, 3, 3, 1]), { sigma: 0.1 }));
    expect(fd!).toBeCloseTo(18 ** 2, 3);
  }));

  it.each([
    ['zero-centred', (weights: tf.Tensor) => zeroCentred(critic(weights), image(5, [2, 8, 8, 3]))],
    ['one-centred', (weights: tf.Tensor) => oneCentred(critic(weights), image(5, [2, 8, 8, 3]), image(6, [2, 8, 8, 3]), tf.fill([2, 1, 1, 1], 0.4))],
    ['approximate', (weights: tf.Tensor) => approximateZeroCentred(critic(weights), image(5, [2, 8, 8, 3]), drawn(7, [2, 8, 8, 3]), { sigma: 0.5 })],
  ] as const)('%s: second derivatives are those of differences', async (_name, penalty) => leakFree(async () => {
    expect(await differsFromDifferences(penalty, tf.tidy(() => tf.mul(drawn<tf.Rank.R1>(8, [total]), 0.3)), { step: 1e-2 })).toBeLessThan(3e-3);
  })());

  it('give logits that can be differentiated with the penalty', leakFree(async () => {
    const [plain, both] = await Promise.all([
      numbers(() => { const w = drawn<tf.Rank.R1>(8, [total]); return gradientsOf([w], () => ({ loss: tf.mean(critic(w)(image(5, [2, 8, 8, 3]))) as tf.Scalar, extra: undefined })).grads[0]!; }),
      numbers(() => { const w = drawn<tf.Rank.R1>(8, [total]); return gradientsOf([w], () => ({ loss: tf.mean(judgedWithGradient(critic(w), image(5, [2, 8, 8, 3])).logits) as tf.Scalar, extra: undefined })).grads[0]!; }),
    ]);
    both.forEach((value, i) => { expect(value).toBeCloseTo(plain[i]!, 5); });
    expect(squares(both)).toBeGreaterThan(0.1);
  }));

  it('correct Adam for steps without them', () => {
    const { lr, beta1, beta2 } = lazyAdam({ lr: 0.0017, beta1: 0, beta2: 0.99 }, 16);
    expect(lr).toBeCloseTo(0.0016, 12);
    expect(beta1).toBe(0);
    expect(beta2).toBeCloseTo(0.99 ** (16 / 17), 12);
  });

  it('draw logits to the other side\'s running mean', async () => {
    const logits = () => ({ realLogits: tf.tensor1d([1, 3]), fakeLogits: tf.tensor1d([0, -2]) });
    const anchors = () => ({ real: tf.scalar(-1), fake: tf.scalar(2) });
    expect(await numbers(() => lecam(logits(), anchors()))).toEqual([1 + 1]);
    expect(await numbers(() => lecam(logits(), anchors(), { oneSided: true }))).toEqual([0.5 + 0.5]);
  });
});
