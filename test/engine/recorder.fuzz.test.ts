import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as tf from '../../src/tf.ts';
import { integers, normal, seeded, fold, type Key } from '../../src/random.ts';

/** A program of operations that move, cut, join and combine: whatever layout a value has by then must not show. */
const run = (key: Key, length: number): tf.Tensor[] => {
  const draw = (step: number, name: string, below: number): number => integers(fold(key, step, name), 1, below)[0] as number;
  const image = (name: string, shape: [number, number, number, number]): tf.Tensor => tf.tensor4d(normal(fold(key, name), shape.reduce((a, b) => a * b)), shape);
  const filter = tf.tensor4d(normal(fold(key, 'w'), 3 * 3 * 8 * 16).map((x) => x * 0.1), [3, 3, 8, 16]);
  const [batch, size] = [draw(0, 'batch', 3) + 1, draw(0, 'size', 3) + 3];
  const start = tf.conv2d(image('x', [batch, size, size, 8]) as tf.Tensor4D, filter, 1, 'same');
  const pool: tf.Tensor[] = [start, image('y', [batch, size, size, 16])];
  for (let step = 1; step <= length; step++) {
    const x = pool[draw(step, 'x', pool.length)] as tf.Tensor;
    const axis = draw(step, 'axis', Math.max(1, x.rank));
    const n = x.shape[axis] ?? 1;
    const choice = draw(step, 'op', 14);
    const made = ((): tf.Tensor | tf.Tensor[] => {
      if (x.rank === 0 || x.size > 20_000) return tf.mul(x, 0.5);
      if (choice === 0) return tf.transpose(x, Array.from({ length: x.rank }, (_, i) => i).sort((a, b) => draw(step, `p${a}`, 97) - draw(step, `p${b}`, 97)));
      if (choice === 1) {
        // Merge an axis with the next, or divide it.
        if (axis + 1 < x.rank && draw(step, 'merge', 2) === 0) return tf.reshape(x, [...x.shape.slice(0, axis), n * (x.shape[axis + 1] as number), ...x.shape.slice(axis + 2)]);
        const part = [2, 4, 8, 3].find((d) => n % d === 0 && n > d);
        return part === undefined || x.rank > 4 ? tf.neg(x) : tf.reshape(x, [...x.shape.slice(0, axis), n / part, part, ...x.shape.slice(axis + 1)]);
      }
      if (choice === 2) { const from = draw(step, 'from', n); return tf.slice(x, x.shape.map((_, i) => (i === axis ? from : 0)), x.shape.map((m, i) => (i === axis ? draw(step, 'count', n - from) + 1 : m))); }
      if (choice === 3) return tf.concat([x, tf.relu(x), x], axis);
      if (choice === 4) return x.rank > 4 ? tf.abs(x) : tf.stack([x, tf.neg(x)], axis);
      if (choice === 5) return x.rank > 4 ? tf.abs(x) : tf.pad(x, x.shape.map((_, i) => (i === axis ? [draw(step, 'before', 3), draw(step, 'after', 9)] : [0, 0]) as [number, number]));
      if (choice === 6) return x.rank > 4 ? tf.abs(x) : tf.reverse(x, [axis]);
      if (choice === 7) return tf.sum(x, axis, draw(step, 'keep', 2) === 0);
      if (choice === 8) return tf.sub(x, tf.mean(x, axis, true));
      if (choice === 9) return tf.add(x, tf.tensor1d(normal(fold(key, step, 'v'), x.shape.at(-1) as number)));
      if (choice === 10) { const other = pool.find((t) => t !== x && t.rank === x.rank && t.shape.every((m, i) => m === x.shape[i] || m === 1)); return other ? tf.mul(x, other) : tf.square(tf.tanh(x)); }
      if (choice === 11) return n < 2 ? tf.sigmoid(x) : tf.split(x, [1, n - 1], axis);
      if (choice === 12) return tf.mul(tf.ones([2, ...x.shape].slice(-x.rank - (x.rank < 4 ? 1 : 0))), x);
      return n % 8 === 0 ? tf.split(x, 2, axis) : tf.where(tf.greater(x, 0), x, tf.mul(x, 0.1));
    })();
    for (const t of [made].flat()) { if (t.size > 0 && t.size < 100_000) pool.push(t); }
  }
  return pool.slice(-4);
};

const valuesOf = async (backend: string, key: Key, length: number): Promise<{ shape: number[]; values: number[] }[]> => {
  await tf.setBackend(backend);
  const results = tf.tidy(() => run(key, length));
  const values = await Promise.all(results.map(async (t) => ({ shape: t.shape, values: Array.from(await t.data()) })));
  tf.dispose(results);
  return values;
};

describe('recorded programs', () => {
  let own = '';
  beforeAll(() => { own = tf.getBackend(); });
  afterAll(async () => { await tf.setBackend(own); });

  it('compute what TensorFlow.js computes step by step', async () => {
    await fc.assert(fc.asyncProperty(fc.nat(), fc.integer({ min: 3, max: 14 }), async (seed, length) => {
      const ours = await valuesOf(own, seeded(seed), length);
      const theirs = await valuesOf('cpu', seeded(seed), length);
      expect(ours.map(({ shape }) => shape)).toEqual(theirs.map(({ shape }) => shape));
      ours.forEach(({ values }, i) => {
        const expected = (theirs[i] as { values: number[] }).values;
        const scale = Math.max(1, ...expected.map(Math.abs));
        values.forEach((value, j) => { if (!(Math.abs(value - (expected[j] as number)) <= 2e-5 * scale)) throw new Error(`result ${i}, number ${j}: expected ${expected[j]} but computed ${value}`); });
      });
    }), { numRuns: Number(process.env['FUZZ_RUNS'] ?? 40), seed: Number(process.env['FUZZ_SEED'] ?? 7) });
  });
});
