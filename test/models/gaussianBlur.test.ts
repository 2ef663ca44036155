import { describe, expect, it } from 'vitest';
import { gaussianBlur } from '../../src/models/gaussianBlur.ts';
import * as tf from '../../src/tf.ts';
import { leakFree } from '../support.ts';

const valuesOf = async (make: () => tf.Tensor): Promise<number[]> => {
  const made = tf.tidy(make);
  try { return [...await made.data()]; } finally { made.dispose(); }
};

describe('gaussianBlur', () => {
  it('is a normalised Gaussian along both axes, each image with its own width', leakFree(async () => {
    const size = 9;
    const spot = Float32Array.from({ length: size * size }, (_, i) => (i === 4 * size + 4 ? 1 : 0));
    const made = await valuesOf(() => gaussianBlur(tf.tensor4d([...spot, ...spot], [2, size, size, 1]), tf.tensor1d([0.5, 1.5])));
    for (const [image, sigma] of [[0, 0.5], [1, 1.5]] as const) {
      const row = (at: number): number => Math.exp(-((at - 4) ** 2) / (2 * sigma ** 2));
      // At place (y, x) the weights are normalised over the row of the matrix that belongs to it.
      const total = (place: number): number => Array.from({ length: size }, (_, j) => Math.exp(-((j - place) ** 2) / (2 * sigma ** 2))).reduce((a, b) => a + b);
      for (let y = 0; y < size; y++) for (let x = 0; x < size; x++) expect(made[image * 81 + y * size + x]).toBeCloseTo((row(y) / total(y)) * (row(x) / total(x)), 5);
    }
  }));

  it('leaves an even image as it is, up to its edges, and keeps channels apart', leakFree(async () => {
    const made = await valuesOf(() => gaussianBlur(tf.tile(tf.tensor4d([0.25, -0.5, 1], [1, 1, 1, 3]), [2, 5, 7, 1]) as tf.Tensor4D, 2));
    made.forEach((value, i) => expect(value).toBeCloseTo([0.25, -0.5, 1][i % 3]!, 5));
  }));

  it('is a low-pass: smoothing a smooth image again changes it less', leakFree(async () => {
    const x = tf.tensor4d(Float32Array.from({ length: 256 }, (_, i) => Math.sin(i * i)), [1, 16, 16, 1]);
    const [first, second] = await valuesOf(() => {
      const once = gaussianBlur(x, 1);
      return tf.stack([tf.mean(tf.abs(tf.sub(once, x))), tf.mean(tf.abs(tf.sub(gaussianBlur(once, 1), once)))]);
    });
    expect(second!).toBeLessThan(first! / 4);
    x.dispose();
  }));
});
