import { describe, expect, it } from 'vitest';
import { averageChannels, repeatChannels } from '../../../src/models/blocks/dcBlocks.ts';
import { sinusoids } from '../../../src/models/blocks/embeddings.ts';
import { averagePool2x, firDownsample, firUpsample } from '../../../src/models/blocks/resample.ts';
import { resizeBilinear, resizeNearest, upsampleNearest } from '../../../src/models/blocks/upsample.ts';
import { convolve, gelu, geluTanh, mish, pixelShuffle, pixelUnshuffle } from '../../../src/models/nn.ts';
import * as tf from '../../../src/tf.ts';

const values = async (f: () => tf.Tensor): Promise<number[]> => {
  const out = tf.tidy(f);
  const data = Array.from(await out.data());
  out.dispose();
  return data;
};

/** One row of pixels. */
const row = (...pixels: number[]): tf.Tensor4D => tf.tensor4d(pixels, [1, 1, pixels.length, 1]);
const counted = (...shape: [number, number, number, number]): tf.Tensor4D => tf.tensor4d(Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i), shape);

const close = (ours: readonly number[], theirs: readonly number[], digits = 6): void => {
  expect(ours).toHaveLength(theirs.length);
  ours.forEach((x, i) => { expect(x).toBeCloseTo(theirs[i] as number, digits); });
};

describe('resizing', () => {
  it('nearest takes the pixel at floor(i * from / to)', async () => {
    expect(await values(() => resizeNearest(row(1, 2, 3), 1, 5))).toEqual([1, 1, 2, 2, 3]);
    expect(await values(() => resizeNearest(row(1, 2, 3, 4), 1, 3))).toEqual([1, 2, 3]);
    expect(await values(() => upsampleNearest(counted(1, 1, 2, 2), 3))).toEqual(Array.from({ length: 3 }, () => [0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3]).flat());
  });

  it('bilinear has half-pixel centres and clamps at the edge', async () => {
    close(await values(() => resizeBilinear(row(0, 4), 1, 4)), [0, 1, 3, 4]);
    close(await values(() => resizeBilinear(row(0, 1, 2, 3), 1, 2)), [0.5, 2.5]);
  });

  it('pools squares and leaves an odd last row and column out', async () => {
    expect(await values(() => averagePool2x(counted(1, 3, 5, 1)))).toEqual([3, 5]);
  });

  it('filters with 1, 3, 3, 1, zeros outside; a constant stays inside', async () => {
    close(await values(() => firDownsample(tf.tensor4d([8, 8, 8, 8], [1, 4, 1, 1]).tile([1, 1, 4, 1]) as tf.Tensor4D)), [6.125, 6.125, 6.125, 6.125]);
    const up = await values(() => firUpsample(tf.ones([1, 4, 4, 1])));
    close([up[3 * 8 + 3] as number, up[3 * 8 + 4] as number], [1, 1]);
    close([up[0] as number], [0.75 * 0.75]);
  });
});

describe('channels and positions', () => {
  it('shuffle as PyTorch does, and back', async () => {
    expect(await values(() => pixelShuffle(tf.tensor4d([0, 1, 2, 3, 10, 11, 12, 13], [1, 1, 1, 8]), 2))).toEqual([0, 10, 1, 11, 2, 12, 3, 13]);
    expect(await values(() => pixelUnshuffle(counted(1, 2, 2, 2), 2))).toEqual([0, 2, 4, 6, 1, 3, 5, 7]);
    expect(await values(() => pixelShuffle(pixelUnshuffle(counted(2, 4, 6, 3), 2), 2))).toEqual(await values(() => counted(2, 4, 6, 3)));
  });

  it('average and repeat neighbouring channels', async () => {
    expect(await values(() => averageChannels(tf.tensor4d([1, 3, 5, 7], [1, 1, 1, 4]), 2))).toEqual([2, 6]);
    expect(await values(() => repeatChannels(tf.tensor4d([1, 2], [1, 1, 1, 2]), 3))).toEqual([1, 1, 1, 2, 2, 2]);
  });
});

describe('grouped convolution', () => {
  /** The same as one convolution whose weight is zero between groups. */
  const dense = (weight: readonly number[], groups: number, from: number, to: number, k: number): tf.Tensor4D => {
    const all = new Float32Array(to * from * k * k);
    const share = from / groups;
    weight.forEach((w, i) => {
      const [o, c, p] = [Math.floor(i / (share * k * k)), Math.floor(i / (k * k)) % share, i % (k * k)];
      all[(o * from + Math.floor(o / (to / groups)) * share + c) * k * k + p] = w;
    });
    return tf.tensor4d(all, [to, from, k, k]);
  };

  it.each([['depthwise', 4, 4, 4, 3], ['depthwise with two outputs each', 4, 4, 8, 3], ['pointwise', 2, 4, 6, 1], ['in two groups', 2, 4, 6, 3]])('%s equals a dense one with zeros', async (_what, groups, from, to, k) => {
    const weight = Array.from({ length: to * (from / groups) * k * k }, (_, i) => Math.sin(i));
    const options = { padding: Math.floor(k / 2) };
    close(await values(() => convolve(counted(1, 3, 3, from), tf.tensor4d(weight, [to, from / groups, k, k]), { ...options, groups })), await values(() => convolve(counted(1, 3, 3, from), dense(weight, groups, from, to, k), options)), 3);
  });
});

describe('activations and embeddings', () => {
  it('gelu and mish at known points', async () => {
    close(await values(() => gelu(tf.tensor1d([0, 1, -1, 3]))), [0, 0.8413447, -0.1586553, 2.9959502], 5);
    close(await values(() => geluTanh(tf.tensor1d([0, 1, -1]))), [0, 0.8411920, -0.1588080], 5);
    close(await values(() => mish(tf.tensor1d([0, 1, -1]))), [0, 0.8650984, -0.3034015], 5);
  });

  it('sinusoids: cosines first or last, shifted frequencies, an odd width', async () => {
    close(await values(() => sinusoids(tf.tensor1d([2]), 4)), [Math.cos(2), Math.cos(0.02), Math.sin(2), Math.sin(0.02)]);
    close(await values(() => sinusoids(tf.tensor1d([2]), 4, { cosFirst: false, freqShift: 1 })), [Math.sin(2), Math.sin(2e-4), Math.cos(2), Math.cos(2e-4)]);
    close(await values(() => sinusoids(tf.tensor1d([0]), 3)), [1, 0, 0]);
  });
});
