import { describe, expect, it } from 'vitest';
import { inProcess, moduleAt } from './inProcess.ts';

/** Work of some tenths of a second as one graph: a chain of products. */
const busy = `
  const busy = () => tf.tidy(() => { let x = tf.mul(tf.ones([600, 600]), 1 / 600); for (let i = 0; i < 60; i++) x = tf.tanh(tf.matMul(x, x)); return tf.sum(x); });`;

describe('the worker thread', () => {
  it('leaves this thread free while a graph runs', async () => {
    const body = `${busy}
      const first = busy(); await first.data();
      let ticks = 0;
      const timer = setInterval(() => { ticks++; }, 5);
      const started = performance.now();
      const sum = busy();
      await sum.data();
      clearInterval(timer);
      report({ ticks, seconds: (performance.now() - started) / 1e3 });`;
    const free = await inProcess(body) as { ticks: number; seconds: number };
    const bound = await inProcess(body, { MILLRACE_WORKER: '0' }) as { ticks: number; seconds: number };
    // A tick every 5 ms where the thread is free: a tenth of them is enough to tell, on a busy machine.
    expect(free.ticks).toBeGreaterThan(free.seconds * 20);
    expect(bound.ticks).toBeLessThan(8);
  });

  it.each(['1', '0'])('lets the process end when its work is done (MILLRACE_WORKER=%s)', async (worker) => {
    expect(await inProcess('const y = tf.add(tf.tensor1d([1]), 1); report(Array.from(await y.data()));', { MILLRACE_WORKER: worker })).toEqual([2]);
  });

  it('starts whatever flags the process was given', async () => {
    expect(await inProcess('report([tf.getBackend(), Array.from(await tf.add(tf.tensor1d([1]), 1).data())]);', {}, ['--max-old-space-size=2048', '--no-warnings', '--experimental-transform-types'])).toEqual(['onnx-cpu', [2]]);
  });

  it('finishes what was asked for before the process ends', async () => {
    expect(await inProcess(`${busy} busy().data().then((values) => report(values.length));`)).toBe(1);
  });

  it('brings errors back with their cause', async () => {
    const error = await inProcess(`
      const [a, b] = [[2 ** 20, 1], [1, 2 ** 21]].map((shape) => tf.tensor2d(new Float32Array(shape[0] * shape[1]), shape));
      const y = tf.sum(tf.exp(tf.mul(a, b)), 0);
      try { await y.data(); } catch (error) { report({ tag: error._tag, message: error.message, cause: error.cause instanceof Error && error.cause.message }); }`) as { tag: string; message: string; cause: string };
    expect(error.tag).toBe('EngineError');
    expect(error.message).toMatch(/^a graph of \d+ operations failed on onnx-cpu: .*no memory for a tensor of 8192\.0 GiB; it ran out of memory with 0\.\d GiB in tensors: use a smaller batch or image size/s);
    expect(error.message).toContain(error.cause);
  });

  it('gives the numbers that sessions in this thread give, at any number of threads the same each time', async () => {
    const body = `
      const { seeded, normal } = await import(${moduleAt('src/random.ts')});
      const x = tf.tensor4d(normal(seeded(1), 4 * 24 * 24 * 16), [4, 24, 24, 16]);
      const w = tf.tidy(() => tf.variable(tf.tensor4d(normal(seeded(2), 9 * 16 * 16).map((v) => v * 0.1), [3, 3, 16, 16])));
      for (let i = 0; i < 3; i++) {
        tf.tidy(() => { const { grads } = tf.variableGrads(() => tf.mean(tf.square(tf.relu(tf.conv2d(x, w, 1, 'same'))))); w.assign(tf.sub(w, grads[w.name])); });
        await tf.flush();
      }
      const { createHash } = await import('node:crypto');
      report(createHash('sha256').update(new Uint8Array((await w.data()).buffer)).digest('hex'));`;
    const digests = [await inProcess(body), await inProcess(body), await inProcess(body, { MILLRACE_WORKER: '0' })];
    expect(new Set(digests).size).toBe(1);
  });
});
