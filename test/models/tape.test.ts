import { describe, expect, it } from 'vitest';
import { constantOf, gradientsOf } from '../../src/models/tape.ts';
import * as tf from '../../src/tf.ts';
import { leakFree } from '../support.ts';

const numbers = async (f: () => tf.Tensor): Promise<number[]> => {
  const value = tf.tidy(f);
  const data = [...await value.data()];
  value.dispose();
  return data;
};

/** d/dx sum((d/dx sum f(x))^2) / 2 = f' f'' for an elementwise f. */
const product = (f: (x: tf.Tensor) => tf.Tensor, at: number[]): tf.Tensor => {
  const x = tf.tensor1d(at);
  const slope = (): tf.Tensor => gradientsOf([x], () => ({ loss: tf.sum(f(x)) as tf.Scalar, extra: undefined })).grads[0]!;
  return gradientsOf([x], () => ({ loss: tf.div(tf.sum(tf.square(slope())), 2) as tf.Scalar, extra: undefined })).grads[0]!;
};

describe('gradientsOf', () => {
  const at = [-1.3, -0.2, 0.4, 2];
  const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
  it.each([
    ['sigmoid', (x: tf.Tensor) => tf.sigmoid(x), (x: number) => { const s = sigmoid(x); return s * (1 - s) * s * (1 - s) * (1 - 2 * s); }],
    ['tanh', (x: tf.Tensor) => tf.tanh(x), (x: number) => { const t = Math.tanh(x); return (1 - t * t) * -2 * t * (1 - t * t); }],
    ['exp', (x: tf.Tensor) => tf.exp(x), (x: number) => Math.exp(2 * x)],
    ['silu', (x: tf.Tensor) => tf.mul(x, tf.sigmoid(x)), (x: number) => {
      const s = sigmoid(x);
      const first = s * (1 - s);
      return (s + x * first) * (2 * first + x * first * (1 - 2 * s));
    }],
    ['rsqrt of 3 + x', (x: tf.Tensor) => tf.rsqrt(tf.add(x, 3)), (x: number) => -0.5 * (x + 3) ** -1.5 * 0.75 * (x + 3) ** -2.5],
  ] as const)('differentiates %s twice', async (_name, f, expected) => leakFree(async () => {
    const found = await numbers(() => product(f, at));
    at.forEach((x, i) => { expect(found[i]).toBeCloseTo(expected(x), 5); });
  })());

  it('differentiates through what a softmax saves', leakFree(async () => {
    // h = sum(softmax(x)^2): the gradient of |dh/dx|^2 / 2 against central differences.
    const squared = (at: number[]): tf.Scalar => {
      const x = tf.tensor1d(at);
      return tf.div(tf.sum(tf.square(gradientsOf([x], () => ({ loss: tf.sum(tf.square(tf.softmax(x))) as tf.Scalar, extra: undefined })).grads[0]!)), 2);
    };
    const found = await numbers(() => {
      const x = tf.tensor1d([0.3, -0.5, 1.1]);
      const h = (): tf.Tensor => tf.sum(tf.square(tf.softmax(x)));
      const inner = (): tf.Tensor => gradientsOf([x], () => ({ loss: h() as tf.Scalar, extra: undefined })).grads[0]!;
      return gradientsOf([x], () => ({ loss: tf.div(tf.sum(tf.square(inner())), 2) as tf.Scalar, extra: undefined })).grads[0]!;
    });
    for (const i of [0, 1, 2]) {
      const shifted = (by: number): number[] => [0.3, -0.5, 1.1].map((x, j) => (i === j ? x + by : x));
      const [[above], [below]] = [await numbers(() => squared(shifted(1e-2))), await numbers(() => squared(shifted(-1e-2)))] as [[number], [number]];
      expect(found[i]).toBeCloseTo((above - below) / 2e-2, 4);
    }
  }));

  it('frees what was saved when the loss cannot be computed, at any depth', leakFree(() => {
    const fails = (): never => { throw new Error('no loss'); };
    expect(() => tf.tidy(() => {
      const x = tf.tensor1d([2, 3]);
      return gradientsOf([x], () => { tf.exp(tf.mul(x, x)); return fails(); }).loss;
    })).toThrow('no loss');
    expect(() => tf.tidy(() => {
      const x = tf.tensor1d([2, 3]);
      return gradientsOf([x], () => { tf.square(x); return gradientsOf([x], () => { tf.exp(x); return fails(); }); }).loss;
    })).toThrow('no loss');
  }));

  it('stops at constantOf', leakFree(async () => {
    expect(await numbers(() => {
      const x = tf.tensor1d([2, 3]);
      return gradientsOf([x], () => ({ loss: tf.sum(tf.mul(x, constantOf(() => tf.square(x)))) as tf.Scalar, extra: undefined })).grads[0]!;
    })).toEqual([4, 9]);
  }));
});
