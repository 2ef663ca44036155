import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import * as tf from '../../src/tf.ts';

const grows = fileURLToPath(new URL('./grows.ts', import.meta.url));

/** What 2,000 steps left behind: counts before and after, and growth in bytes. */
const growth = async (leak = ''): Promise<{ before: object; after: object; last: number; objects: number; native: number }> =>
  JSON.parse((await promisify(execFile)(process.execPath, ['--max-semi-space-size=1', grows, leak], { timeout: 200_000 })).stdout) as Awaited<ReturnType<typeof growth>>;

describe('memory', () => {
  let lazy = false;
  beforeAll(() => { lazy = tf.getBackend().startsWith('onnx'); });

  // Garbage is collected before each count; what is left to grow is the compiler's, 100 kB of it. The planted leaks are far beyond these bounds.
  const bounds = { objects: 2 ** 18, native: 8 * 2 ** 20 };

  it('stays as it is over 2,000 steps', async () => {
    const { before, after, last, objects, native } = await growth();
    expect(last).toBeLessThan(1e-6);
    expect(after).toEqual(before);
    expect(objects).toBeLessThan(bounds.objects);
    expect(native).toBeLessThan(bounds.native);
  });

  it('would show results that are kept', async () => { expect((await growth('result')).objects).toBeGreaterThan(bounds.objects); });
  it('would show sessions that are kept', async () => { expect((await growth('session')).native).toBeGreaterThan(bounds.native); });

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

  it('forgets graphs when told, and compiles anew what is wanted again', async (context) => {
    if (!lazy) return context.skip();
    const cube = async (): Promise<number> => { const y = tf.tidy(() => tf.sum(tf.pow(tf.ones([7]), 3))); const [value] = await y.data(); y.dispose(); return value as number; };
    await cube();
    tf.resetEngineStats();
    await cube();
    expect(tf.engineStats().compilations).toBe(0);
    const x = tf.mul(tf.ones([5]), 2);
    const running = tf.flush();
    tf.forgetGraphs();
    await running;
    expect([...await x.data()]).toEqual([2, 2, 2, 2, 2]);
    x.dispose();
    const before = tf.engineStats().compilations;
    expect(await cube()).toBe(7);
    expect(tf.engineStats().compilations).toBe(before + 1);
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
