import { describe, expect, it } from 'vitest';
import { codebookLoss } from '../../src/losses/codebook.ts';
import { gradientsOf } from '../../src/models/tape.ts';
import * as tf from '../../src/tf.ts';
import { leakFree } from '../support.ts';

/** One row of two latent vectors, and two entries; the first entry is nearest to both. */
const loss = async (beta?: number): Promise<{ value: number; latent: number[]; entries: number[] }> => {
  const [z, e] = [tf.tensor4d([1, 0, 0, 2], [1, 1, 2, 2]), tf.tensor2d([0, 0, 5, 5], [2, 2])];
  const { loss, grads } = tf.tidy(() => gradientsOf([z, e], () => ({ loss: codebookLoss(z, e, beta === undefined ? {} : { beta }), extra: undefined })) as unknown as tf.TensorContainerObject) as unknown as { loss: tf.Scalar; grads: tf.Tensor[] };
  const [values, latent, entries] = await Promise.all([loss, ...grads].map(async (t) => [...await t.data()]));
  tf.dispose([z, e, loss, ...grads]);
  return { value: values?.[0] as number, latent: latent as number[], entries: entries as number[] };
};

describe('codebookLoss', () => {
  it('is the distance to the nearest entry, drawn from both sides with their own weights', leakFree(async () => {
    const { value, latent, entries } = await loss();
    // Mean over four values of (1, 0, 0, 2)^2 is 5/4; once for the latents, a quarter of it for the entries.
    expect(value).toBeCloseTo(1.25 * 1.25, 6);
    expect(latent.map((x) => x + 0)).toEqual([0.5, 0, 0, 1]);
    expect(entries.map((x) => x + 0)).toEqual([-0.125, -0.25, 0, 0]);
  }));

  it('leaves the entries where they are with beta 0', leakFree(async () => { expect((await loss(0)).entries.every((x) => x === 0)).toBe(true); }));

  it('cuts latent vectors into parts as narrow as the entries', leakFree(async () => {
    const value = tf.tidy(() => codebookLoss(tf.tensor4d([1, 3], [1, 1, 1, 2]), tf.tensor2d([[1], [2]])));
    // 1 is an entry, 3 is one away from 2: mean over two values is 1/2.
    expect((await value.data())[0]).toBeCloseTo(0.5 * 1.25, 6);
    value.dispose();
  }));
});
