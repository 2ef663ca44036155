import { expect } from 'vitest';
import * as tf from '../../src/tf.ts';

/**
 * Holds a tensor's values, or as many of the first as are given, to numbers of a reference, and frees it.
 * @param make run in a tidy
 * @param within bound of each difference, as a share of the largest number wanted
 */
export const near = async (make: () => tf.Tensor, wanted: readonly number[], within = 1e-5): Promise<void> => {
  const made = tf.tidy(make);
  const values = await made.data();
  made.dispose();
  expect(values.length).toBeGreaterThanOrEqual(wanted.length);
  const scale = Math.max(...wanted.map(Math.abs));
  wanted.forEach((x, i) => { expect(Math.abs((values[i] as number) - x) / scale, `value ${i}`).toBeLessThan(within); });
};
