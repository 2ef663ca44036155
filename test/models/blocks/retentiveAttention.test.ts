import { describe, expect, it } from 'vitest';
import { headDecays, retentiveAttention } from '../../../src/models/blocks/retentiveAttention.ts';
import { denoiser } from '../../../src/models/denoiser.ts';
import { applyNet, makeNet } from '../../../src/models/net.ts';
import { buildNetwork } from '../../../src/models/network.ts';
import { gradientsOf } from '../../../src/models/tape.ts';
import { fold, normal, seeded } from '../../../src/random.ts';
import { free } from '../../../src/streams/scoped.ts';
import * as tf from '../../../src/tf.ts';
import { leakFree } from '../../support.ts';

const key = seeded(9);
const [height, width, channels, headDim] = [3, 4, 8, 4];
const heads = channels / headDim;
const network = buildNetwork('block', {}, (root) => retentiveAttention(root, { channels, headDim, groups: null, eps: 1e-5 }));
/** Random values for every parameter, and for an image. */
const values = Object.fromEntries([...network.specs].map(([name, { shape }]) => [name, normal(fold(key, name), shape.reduce((a, b) => a * b, 1)).map((x) => 0.5 * x)]));
const image = normal(fold(key, 'image'), height * width * channels);
const run = async (): Promise<number[]> => {
  const made = tf.tidy(() => network.apply(Object.fromEntries([...network.specs].map(([name, { shape }]) => [name, tf.tensor(values[name]!, [...shape])])), tf.tensor4d(image, [1, height, width, channels])));
  try { return [...await made.data()]; } finally { made.dispose(); }
};

/** The same in plain numbers. */
const byHand = (): number[] => {
  const count = height * width;
  const project = (name: string, rows: number[][]): number[][] => rows.map((row) => Array.from({ length: channels }, (_, o) =>
    row.reduce((sum, value, i) => sum + value * values[`${name}.weight`]![o * channels + i]!, values[`${name}.bias`]![o]!)));
  const rows = Array.from({ length: count }, (_, n) => Array.from(image.subarray(n * channels, (n + 1) * channels)));
  const rotated = (row: number[], n: number, h: number): number[] => {
    const x = row.slice(h * headDim, (h + 1) * headDim);
    const half = headDim / 2;
    return x.map((_, d) => {
      const angle = n / 10_000 ** ((d % half) / (half - 1));
      return d < half ? x[d]! * Math.cos(angle) - x[d + half]! * Math.sin(angle) : x[d]! * Math.cos(angle) + x[d - half]! * Math.sin(angle);
    });
  };
  const [q, k, v] = ['to_q', 'to_k', 'to_v'].map((name) => project(name, rows)) as [number[][], number[][], number[][]];
  const attended = rows.map((_, n) => Array.from({ length: heads }, (__, h) => {
    const scores = rows.map((___, m) => {
      const distance = Math.abs(Math.floor(n / width) - Math.floor(m / width)) + Math.abs((n % width) - (m % width));
      const [a, b] = [rotated(q[n]!, n, h), rotated(k[m]!, m, h)];
      return Math.exp(a.reduce((sum, value, d) => sum + value * b[d]!, 0) / Math.sqrt(headDim) + distance * Math.log(1 - 2 ** (-2 - (4 * h) / heads)));
    });
    const total = scores.reduce((a, b) => a + b);
    return Array.from({ length: headDim }, (___, d) => scores.reduce((sum, score, m) => sum + (score / total) * v[m]![h * headDim + d]!, 0));
  }).flat());
  const nearby = rows.map((_, n) => Array.from({ length: channels }, (__, c) => {
    let sum = values['lepe.bias']![c]!;
    for (let dy = -2; dy <= 2; dy++) {
      for (let dx = -2; dx <= 2; dx++) {
        const [y, x] = [Math.floor(n / width) + dy, (n % width) + dx];
        if (y >= 0 && y < height && x >= 0 && x < width) sum += v[y * width + x]![c]! * values['lepe.weight']![c * 25 + (dy + 2) * 5 + dx + 2]!;
      }
    }
    return sum;
  }));
  const out = project('to_out.0', attended.map((row, n) => row.map((value, c) => value + nearby[n]![c]!)));
  return rows.flatMap((row, n) => row.map((value, c) => value + out[n]![c]!));
};

describe('retentiveAttention', () => {
  it('is softmax attention with rotated queries and keys, a decay by Manhattan distance and a depthwise convolution of the values', leakFree(async () => {
    const [found, expected] = [await run(), byHand()];
    expect(found).toHaveLength(expected.length);
    found.forEach((value, i) => { expect(value).toBeCloseTo(expected[i]!, 4); });
  }));

  it('sees from near to far, head by head', () => {
    const decays = headDecays(4);
    expect(decays[0]).toBeCloseTo(Math.log(0.75), 12);
    expect(decays[3]).toBeCloseTo(Math.log(1 - 2 ** -5), 12);
    expect([...decays].sort((a, b) => a - b)).toEqual(decays);
    expect(headDecays(2, { range: 6 })[1]).toBeCloseTo(Math.log(1 - 2 ** -5), 12);
  });

  it('refuses heads that do not fit', () => {
    for (const odd of [3, 6]) expect(() => buildNetwork('block', {}, (root) => retentiveAttention(root, { channels: 8, headDim: odd, groups: null, eps: 1e-5 }))).toThrow(`expected an even headDim that divides 8 channels but received ${odd}`);
  });

  it('takes the place of the denoiser\'s attention, and learns there', leakFree(async () => {
    const size = { channels: 3, base: 8, multipliers: [1, 2], depth: 1, attention: true, groups: 4, conditioned: false };
    const [plain, retentive] = [denoiser(size), denoiser({ ...size, retentive: true })];
    expect([...retentive.specs.keys()].filter((name) => name.includes('lepe')).length).toBeGreaterThan(0);
    expect([...plain.specs.keys()].filter((name) => !retentive.specs.has(name))).toEqual([]);
    const net = makeNet(retentive, { key });
    const gradient = tf.tidy(() => {
      const x = tf.tensor4d(normal(fold(key, 'x'), 192), [1, 8, 8, 3]);
      return gradientsOf([x], () => ({ loss: tf.sum(tf.square(applyNet(net)(x, tf.tensor1d([500]), x))) as tf.Scalar, extra: undefined })).grads[0]!;
    });
    const found = await gradient.data();
    expect(found.every(Number.isFinite) && found.some((value) => value !== 0)).toBe(true);
    gradient.dispose();
    free({ net });
  }));
});
