/** The gradients we register, on the cpu executor: each case of every family by finite differences at batch 2, first and second derivatives. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as tf from '../../src/tf.ts';
import { gradientError, gradientOf } from '../support/numeric.ts';
import { families } from './cases/all.ts';

let before = '';
beforeAll(async () => { before = tf.getBackend(); await tf.setBackend('cpu'); });
afterAll(async () => { await tf.setBackend(before); });

// What float32 outputs leave of a difference quotient; a gradient that is wrong is off by 1e-1 and more.
const first = 2e-3;
const second = 4e-3;

const differentiable = Object.entries(families).map(([family, cases]) => [family, cases.filter(({ by = [] }) => by.length > 0)] as const).filter(([, { length }]) => length > 0);

describe.each(differentiable)('%s', (_, cases) => {
  it.each(cases)('$name', async ({ inputs, run, oracle = run, by = [], step, twice = false }) => {
    const before = tf.memory().numTensors;
    expect(await gradientError(oracle, inputs, { by, step })).toBeLessThan(first);
    if (twice) expect(await gradientError(gradientOf(oracle, by), inputs, { by, step, elements: 8 })).toBeLessThan(second);
    expect(tf.memory().numTensors).toBe(before);
  });
});

const gradient = async (f: (x: tf.Tensor) => tf.Tensor, x: number[]): Promise<number[]> =>
  tf.tidy(() => [...tf.grad((t) => tf.sum(f(t)))(tf.tensor1d(x)).dataSync()]);

describe('at the kinks', () => {
  it('abs has slope 0 at 0', async () => expect(await gradient(tf.abs, [-2, 0, 3])).toEqual([-1, 0, 1]));
  it('max and min share among ties', async () => {
    expect(await gradient((x) => tf.max(x), [2, 1, 2])).toEqual([0.5, 0, 0.5]);
    expect(await gradient((x) => tf.min(x), [1, 1, 2])).toEqual([0.5, 0.5, 0]);
  });
  it('maximum and minimum give all to the first at a tie', async () => {
    expect(await gradient((x) => tf.maximum(x, 1), [0, 1, 2])).toEqual([0, 1, 1]);
    expect(await gradient((x) => tf.minimum(1, x), [0, 1, 2])).toEqual([1, 0, 0]);
  });
  it('where keeps the infinite slope of the side not chosen out', async () => expect(await gradient((x) => tf.where(tf.greater(x, 0), tf.mul(x, 2), tf.sqrt(x)), [1, 4])).toEqual([2, 2]));
  it('floorDiv is flat', async () => expect(await gradient((x) => tf.add(tf.floorDiv(x, tf.scalar(2)), x), [3, 5])).toEqual([1, 1]));
  it('prod is right where an element is zero', async () => expect(await gradient((x) => tf.prod(x), [2, 0, 5])).toEqual([0, 10, 0]));
  it('cumprod is right where an element is zero', async () => expect(await gradient((x) => tf.cumprod(x), [2, 0, 5])).toEqual([1, 12, 0]));
});

describe('second derivatives by the gradients of TensorFlow.js itself', () => {
  const twice = async (f: (x: tf.Tensor) => tf.Tensor, x: number[]): Promise<number[]> => gradient((t) => tf.grad((u) => tf.sum(f(u)))(t), x);
  it.each([
    ['exp', tf.exp, (x: number) => Math.exp(x)],
    ['sigmoid', tf.sigmoid, (x: number) => { const y = 1 / (1 + Math.exp(-x)); return y * (1 - y) * (1 - 2 * y); }],
    ['tanh', tf.tanh, (x: number) => -2 * Math.tanh(x) * (1 - Math.tanh(x) ** 2)],
  ] as const)('%s', async (_, f, expected) => {
    const x = [-1.5, 0.3, 2];
    for (const [i, value] of (await twice(f, x)).entries()) expect(value).toBeCloseTo(expected(x[i] as number), 5);
  });
});
