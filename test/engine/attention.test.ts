/** Attention whose scores are computed in parts, against attention in one piece. */
import { describe, expect, it } from 'vitest';
import { attend } from '../../src/engine/fused.ts';
import { normal, seeded } from '../../src/random.ts';
import * as tf from '../../src/tf.ts';
import { inProcess, moduleAt } from './inProcess.ts';

const plain = (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, scale: number): tf.Tensor => tf.matMul(tf.softmax(tf.mul(tf.matMul(q, k, false, true), scale)), v);

const apart = async (a: tf.Tensor, b: tf.Tensor): Promise<number> => {
  const [x, y] = [await a.data(), await b.data()] as [Float32Array, Float32Array];
  const size = Math.max(...y.map(Math.abs));
  return x.reduce((most, value, i) => Math.max(most, Math.abs(value - (y[i] as number))), 0) / size;
};

describe('attention', () => {
  // 17.7 million scores: three parts, the last one shorter.
  it.each([[[1, 4200, 4], [1, 4200, 4]], [[2, 1, 2100, 4], [2, 1, 4210, 4]]])('is the same in parts, queries %o and keys %o', async (ofQueries, ofKeys) => {
    const before = tf.memory().numTensors;
    const [q, k, v, dy] = [ofQueries, ofKeys, ofKeys, ofQueries].map((shape, i) => tf.tensor(normal(seeded(i), tf.util.sizeFromShape(shape)), shape)) as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
    const all = (f: typeof attend): tf.Tensor[] => tf.tidy(() => {
      const { value, grads } = tf.valueAndGrads((...[a, b, c]: tf.Tensor[]) => f(a as tf.Tensor, b as tf.Tensor, c as tf.Tensor, 0.5))([q, k, v], dy);
      return [value, ...grads];
    });
    const [parts, whole] = [all(attend), all(plain)];
    for (const [i, part] of parts.entries()) expect(await apart(part, whole[i] as tf.Tensor), ['y', 'dq', 'dk', 'dv'][i]).toBeLessThan(1e-5);
    tf.dispose([q, k, v, dy, ...parts, ...whole]);
    expect(tf.memory().numTensors).toBe(before);
  });

  it('needs less room for a training step in parts than the matrix of its scores takes', async (context) => {
    if (!tf.getBackend().startsWith('onnx')) return context.skip();
    const growth = await inProcess(`
      const { attend } = await import(${moduleAt('src/engine/fused.ts')});
      const x = tf.tensor4d(new Float32Array(5 * 4096 * 32).fill(0.1), [1, 5, 4096, 32]);
      await tf.flush();
      const before = process.memoryUsage.rss();
      const grads = tf.tidy(() => tf.grads((q, k, v) => attend(q, k, v, 0.1))([x, x, x]));
      await tf.flush();
      report(tf.engineStats().peakResident - before);`);
    expect(growth).toBeGreaterThan(2 ** 20);
    expect(growth).toBeLessThan(5 * 4096 ** 2 * 4);
  });
});
