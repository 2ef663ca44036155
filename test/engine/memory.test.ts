import { beforeAll, describe, expect, it } from 'vitest';
import { normal, seeded } from '../../src/random.ts';
import * as tf from '../../src/tf.ts';

/** One step of a tiny net: two layers, squared error, momentum. */
const stepper = () => {
  const variable = (shape: [number, number], name: number) => tf.tidy(() => tf.variable(tf.tensor2d(normal(seeded(name), shape[0] * shape[1]), shape)));
  const [w1, w2, velocity] = [variable([8, 16], 1), variable([16, 4], 2), variable([8, 16], 3)];
  const step = async (): Promise<number> => {
    const [x, y] = [tf.tensor2d(normal(seeded(4), 64), [8, 8]), tf.tensor2d(normal(seeded(5), 32), [8, 4])];
    const loss = tf.tidy(() => {
      const { value, grads } = tf.variableGrads(() => tf.mean(tf.squaredDifference(tf.matMul(tf.tanh(tf.matMul(x, w1 as tf.Tensor2D)), w2 as tf.Tensor2D), y)) as tf.Scalar, [w1, w2]);
      const [g1, g2] = [grads[w1.name] as tf.Tensor, grads[w2.name] as tf.Tensor];
      velocity.assign(tf.add(tf.mul(velocity, 0.9), g1) as tf.Tensor2D);
      w1.assign(tf.sub(w1, tf.mul(velocity, 0.01)) as tf.Tensor2D);
      w2.assign(tf.sub(w2, tf.mul(g2, 0.01)) as tf.Tensor2D);
      return value;
    });
    tf.dispose([x, y]);
    const flushed = tf.flush();
    const [number] = await loss.data();
    await flushed;
    loss.dispose();
    return number as number;
  };
  return { step, stop: () => { tf.dispose([w1, w2, velocity]); } };
};

describe('memory', () => {
  let lazy = false;
  beforeAll(() => { lazy = tf.getBackend().startsWith('onnx'); });

  it('stays as it is over 2,000 steps', async () => {
    const { step, stop } = stepper();
    for (let i = 0; i < 100; i++) await step();
    const state = () => ({ tensors: tf.memory().numTensors, bytes: tf.memory().numBytes, values: tf.engineStats().values, stored: tf.engineStats().bytes });
    const [before, resident] = [state(), process.memoryUsage.rss()];
    let last = 0;
    for (let i = 0; i < 2_000; i++) last = await step();
    expect(last).toBeLessThan(1);
    expect(state()).toEqual(before);
    // Garbage not yet collected is allowed for; 2,000 steps that leaked their results would not fit in it, nor would 2,000 sessions.
    expect(process.memoryUsage.rss() - resident).toBeLessThan(48 * 2 ** 20);
    stop();
  });

  it('frees what was disposed before, during and after a run', async (context) => {
    if (!lazy) return context.skip();
    const stored = tf.engineStats().bytes;
    const x = tf.ones([256, 256]);
    const y = tf.mul(x, 2);
    const flushed = tf.flush();
    y.dispose();
    const z = tf.add(x, 1);
    x.dispose();
    await flushed;
    expect((await z.data())[0]).toBe(2);
    z.dispose();
    await tf.flush();
    expect(tf.engineStats().bytes).toBe(stored);
  });

  it('does not hand out memory that is still being read', async () => {
    const x = tf.tensor1d(new Float32Array(4096).fill(1));
    const y = tf.mul(x, 3);
    const read = y.data();
    y.dispose();
    const others = Array.from({ length: 4 }, (_, i) => tf.add(x, i));
    await tf.flush();
    expect(new Set(await read)).toEqual(new Set([3]));
    tf.dispose([x, ...others]);
  });

  it('keeps a bounded number of graphs', async (context) => {
    if (!lazy) return context.skip();
    tf.resetEngineStats();
    const shapes = Array.from({ length: 80 }, (_, i) => i + 3);
    const sum = async (n: number): Promise<number> => { const y = tf.tidy(() => tf.sum(tf.ones([n]))); const [value] = await y.data(); y.dispose(); return value as number; };
    for (const n of shapes) expect(await sum(n)).toBe(n);
    // The last ones are kept, the first were let go.
    await sum(82);
    expect(tf.engineStats().compilations).toBe(80);
    await sum(3);
    expect(tf.engineStats().compilations).toBe(81);
  });

  it('forgets what was recorded for nothing', () => {
    const before = tf.engineStats().values;
    for (let i = 0; i < 30_000; i++) tf.tidy(() => { tf.add(1, 2); });
    expect(tf.engineStats().values).toBe(before);
  });

  it('reports the peak of a step', async (context) => {
    if (!lazy) return context.skip();
    tf.resetEngineStats();
    const y = tf.tidy(() => tf.square(tf.ones([512, 512])));
    await y.data();
    const { peakBytes, peakResident } = tf.engineStats();
    expect(peakBytes).toBeGreaterThanOrEqual(512 * 512 * 4);
    expect(peakResident).toBeGreaterThan(peakBytes);
    y.dispose();
  });
});
