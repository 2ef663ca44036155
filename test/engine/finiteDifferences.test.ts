/**
 * Every differentiable case by finite differences on our own executor, at a few places of each input. The same gradients are proven place by place on the cpu
 * executor (gradients.test.ts) and compared with it to 1e-5 (conformance.test.ts); this one looks at values and gradients as they come from one graph.
 */
import { describe, expect, it } from 'vitest';
import * as tf from '../../src/tf.ts';
import { gradientError, gradientOf } from '../support/numeric.ts';
import { families } from './cases/all.ts';

const differentiable = Object.entries(families)
  .map(([family, cases]) => [family, cases.filter(({ by = [], lacks }) => by.length > 0 && lacks === undefined)] as const).filter(([, { length }]) => length > 0);

describe.each(differentiable)('%s', (_, cases) => {
  it.each(cases)('$name', async ({ inputs, run, by = [], step, twice = false }) => {
    const before = tf.memory().numTensors;
    expect(await gradientError(run, inputs, { by, step, elements: 3 })).toBeLessThan(2e-3);
    if (twice) expect(await gradientError(gradientOf(run, by), inputs, { by, step, elements: 2 })).toBeLessThan(4e-3);
    expect(tf.memory().numTensors).toBe(before);
  });
});
