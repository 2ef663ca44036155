/**
 * Our executors against TensorFlow.js's own cpu executor: every case of every family, forward and, where there is one, the gradient.
 * The tolerance is 1e-5 of the largest value (1e-5 absolute where all are small), unless a case says what widens it.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as tf from '../../src/tf.ts';
import { fold, seeded } from '../../src/random.ts';
import { type Compute, analyticGradients, draw, evaluate, relativeError } from '../support/numeric.ts';
import { families } from './cases/all.ts';
import type { Case } from './cases/case.ts';
import { executors } from './executors.ts';

const on = async <T>(executor: string, work: () => Promise<T>): Promise<T> => {
  const before = tf.getBackend();
  tf.setBackend(executor);
  try { return await work(); } finally { tf.setBackend(before); }
};

const conforms = async (executor: string, { inputs, run, oracle = run, by = [], tolerance: onAny = { relative: 1e-5, why: '' }, gpuTolerance = onAny }: Case): Promise<void> => {
  const tolerance = executor === 'onnx-webgpu' ? gpuTolerance : onAny;
  const values = inputs.map((input, i) => draw(fold(seeded(5), 'input', i), input));
  const both = async <T>(work: (compute: Compute) => Promise<T>): Promise<[T, T]> => [await on('cpu', () => work(oracle)), await on(executor, () => work(run))];
  const [expected, actual] = await both((compute) => evaluate(compute, inputs, values));
  expect(actual.map(({ shape, dtype }) => ({ shape, dtype }))).toEqual(expected.map(({ shape, dtype }) => ({ shape, dtype })));
  for (const [i, { data }] of actual.entries()) expect(relativeError(data, expected[i]?.data ?? [], 1), `output ${i}`).toBeLessThanOrEqual(tolerance.relative);
  if (by.length === 0) return;
  const [slopes, ours] = await both((compute) => analyticGradients(compute, inputs, values, by));
  // Sums over all outputs, weighted at random: of the size of the largest, with more terms to round.
  for (const [i, slope] of ours.entries()) expect(relativeError(slope, slopes[i] ?? [], 1), `gradient ${i}`).toBeLessThanOrEqual(tolerance.relative);
};

describe.each(executors)('$name', ({ name, start, missing }) => {
  beforeAll(async () => { if (missing === undefined) await start(); });
  afterAll(() => { if (missing !== undefined) console.log(`${name} was not tested: ${missing}`); });
  describe.each(Object.entries(families))('%s', (_, cases) => {
    it.skipIf(missing !== undefined).each(cases.filter(({ lacks }) => lacks !== undefined))('$name is refused by name', async ({ inputs, run, lacks }) => {
      const values = inputs.map((input, i) => draw(fold(seeded(5), 'input', i), input));
      await expect(on(name, () => evaluate(run, inputs, values))).rejects.toThrow(`${name} has no kernel ${lacks}, which tf.`);
    });
    it.skipIf(missing !== undefined).each(cases.filter(({ lacks }) => lacks === undefined))('$name', async (one) => {
      const before = tf.memory().numTensors;
      await conforms(name, one);
      expect(tf.memory().numTensors).toBe(before);
    });
  });
});
