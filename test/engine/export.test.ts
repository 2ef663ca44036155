import * as runtime from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { exportError, exportNetwork, type Exported } from '../../src/engine/export.ts';
import { fit } from '../../src/engine/exportDynamic.ts';
import { applyNet, makeNet } from '../../src/models/net.ts';
import { buildNetwork } from '../../src/models/network.ts';
import { conv2d } from '../../src/models/nn.ts';
import { turboGenerator } from '../../src/models/turbo.ts';
import { fold, normal, seeded } from '../../src/random.ts';
import * as tf from '../../src/tf.ts';

/** Runs `work` on a network with convolutions, norms, attention and skips at three resolutions, and frees it. */
const withTurbo = async <T>(work: (network: Exported) => Promise<T>): Promise<T> => {
  const net = makeNet(turboGenerator({ channels: 3, base: 8, multipliers: [1, 2, 4], depth: 1, groups: 4, skipInit: 1e-2, residual: true }), { key: seeded(1), shadow: true });
  try {
    return await work((source) => applyNet(net, 'shadow')(source, tf.ones([1, 1, 1, 1])) as tf.Tensor4D);
  } finally {
    tf.dispose({ ...net.variables });
  }
};

/** What a run of an exported file answers. */
const answers = async (bytes: Uint8Array, feeds: Readonly<Record<string, runtime.Tensor>>): Promise<Float32Array> => {
  const session = await runtime.InferenceSession.create(bytes, { executionProviders: ['cpu'], logSeverityLevel: 3 });
  try {
    return (await session.run(feeds))['image']?.data as Float32Array;
  } finally {
    await session.release();
  }
};

it('writes a file that computes what the network computes', async () => {
  const tensors = tf.memory().numTensors;
  const values = tf.engineStats().values;
  await withTurbo(async (network) => {
    const model = await exportNetwork('turbo', network, { size: [16, 24], metadata: { method: 'turbo' } });
    expect(model.inputs).toEqual([{ name: 'source', type: 'float32', shape: [1, 16, 24, 3] }]);
    expect(await exportError(model, network, [16, 24])).toBeLessThan(1e-5);
  });
  expect(tf.memory().numTensors).toBe(tensors);
  expect(tf.engineStats().values).toBe(values);
});

it('leaves height and width free', async () => {
  await withTurbo(async (network) => {
    const model = await exportNetwork('turbo', network, { size: [4, 4], dynamic: true });
    expect(model.inputs).toEqual([{ name: 'source', type: 'float32', shape: [1, 'height', 'width', 3] }]);
    for (const size of [[16, 16], [12, 40], [44, 8]] as const) expect(await exportError(model, network, size)).toBeLessThan(1e-5);
  });
});

it.each([false, true])('halves weights and arithmetic (dynamic: %s)', async (dynamic) => {
  await withTurbo(async (network) => {
    const [full, half] = [await exportNetwork('turbo', network, { size: dynamic ? [4, 4] : [16, 16], dynamic }), await exportNetwork('turbo', network, { size: dynamic ? [4, 4] : [16, 16], dynamic, half: true })];
    const error = await exportError(half, network, [16, 16]);
    // Eleven bits of mantissa through some twenty layers; and it must differ, or nothing was halved.
    expect(error).toBeLessThan(5e-3);
    expect(error).toBeGreaterThan(1e-5);
    expect(half.bytes.length).toBeLessThan(0.7 * full.bytes.length);
  });
});

describe('a network that draws noise', () => {
  const network: Exported = (source, key) => {
    const noise = (i: number): tf.Tensor4D => tf.tensor4d(normal(fold(key, 'noise', i), source.size), source.shape);
    return tf.tanh(tf.add(tf.add(source, tf.mul(noise(0), 0.5)), tf.mul(noise(1), 0.25)));
  };

  it.each([false, true])('takes it as unit-normal inputs (dynamic: %s)', async (dynamic) => {
    const model = await exportNetwork('noisy', network, { size: [8, 8], dynamic });
    expect(model.inputs.map(({ name }) => name)).toEqual(['source', 'noise0', 'noise1']);
    expect(await exportError(model, network, [8, 8])).toBeLessThan(1e-6);
    const tensor = (value: number): runtime.Tensor => new runtime.Tensor('float32', new Float32Array(192).fill(value), [1, 8, 8, 3]);
    expect((await answers(model.bytes, { source: tensor(0.1), noise0: tensor(0.2), noise1: tensor(-0.4) }))[5]).toBeCloseTo(Math.tanh(0.1 + 0.1 - 0.1), 6);
  });
});

it('computes once what is made of weights alone', async () => {
  const net = makeNet(buildNetwork('scaled', {}, (root) => {
    const convolution = conv2d(root.at('conv'), { from: 3, to: 3, padding: 1 });
    return (params, x: tf.Tensor4D) => convolution(Object.fromEntries(Object.entries(params).map(([name, value]) => [name, tf.div(value, tf.add(tf.norm(value), 1))])), x);
  }), { key: seeded(2) });
  const network: Exported = (source) => applyNet(net)(source);
  const model = await exportNetwork('scaled', network, { size: [8, 8] });
  expect(await exportError(model, network, [8, 8])).toBeLessThan(1e-6);
  // No reductions or roots of weights are left in the file.
  expect(Buffer.from(model.bytes).includes('Reduce')).toBe(false);
  expect(Buffer.from(model.bytes).includes('Sqrt')).toBe(false);
  tf.dispose({ ...net.variables });
});

it('keeps to operators that every runtime has', async () => {
  await withTurbo(async (network) => {
    const { bytes } = await exportNetwork('turbo', network, { size: [16, 16] });
    expect(Buffer.from(bytes).includes('com.microsoft')).toBe(false);
  });
});

it('says why a network cannot be written for every size', async () => {
  const positions: Exported = (source) => tf.add(source, tf.tensor(Float32Array.from({ length: source.size }, (_, i) => i % 7), source.shape));
  await expect(exportNetwork('positions', positions, { size: [4, 4], dynamic: true })).rejects.toThrow(/cannot be exported for every size: \w+ \d+ reads a table whose shape follows the size; export it with --size/);
  const constant: Exported = () => tf.ones([1, 4, 4, 3]);
  await expect(exportNetwork('constant', constant, { size: [4, 4] })).rejects.toThrow('does not depend on its input');
});

it('says that another executor records nothing', async () => {
  const before = tf.getBackend();
  tf.setBackend('cpu');
  try {
    await expect(exportNetwork('identity', (source) => source, { size: [4, 4] })).rejects.toThrow('exporting needs the recording engine but cpu runs');
  } finally {
    tf.setBackend(before);
  }
});

describe('fit', () => {
  const sizes = [[44, 52], [52, 68], [68, 44], [76, 92], [56, 76]].map(([height, width]) => ({ height: height as number, width: width as number }));
  const values = (f: (h: number, w: number) => number): number[] => sizes.map(({ height, width }) => f(height, width));
  it('finds products, shares and offsets', () => {
    expect(fit(sizes, values((h, w) => h * w / 16))).toEqual({ a: 1, b: 0, c: 0, d: 0, q: 16 });
    expect(fit(sizes, values((h) => h / 4 - 1))).toEqual({ a: 0, b: 1, c: 0, d: -4, q: 4 });
    expect(fit(sizes, values((_, w) => 3 * w + 2))).toEqual({ a: 0, b: 0, c: 3, d: 2, q: 1 });
    expect(fit(sizes, values(() => 7))).toEqual({ a: 0, b: 0, c: 0, d: 7, q: 1 });
  });
  it('finds nothing where there is nothing to find', () => expect(fit(sizes, values((h, w) => h * h + w))).toBeUndefined());
});
