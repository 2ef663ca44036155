/** Self-attention that fades with distance: the retentive block of an image backbone, in place of plain attention. */
import * as tf from '../../tf.ts';
import type { Layer, Scope } from '../network.ts';
import { conv2d, groupNorm, joinHeads, linear, splitHeads } from '../nn.ts';
import { attendBiased } from './attention.ts';

type Image = tf.Tensor4D;

/**
 * What each head adds to the scores per step of Manhattan distance: ln(1 - 2^(-first - range * h / heads)), from short sight to long.
 * @source Fan et al. 2023 (RMT), arXiv 2309.11523; its code's `initial_value` 2 and `heads_range` 4
 */
export const headDecays = (heads: number, { first = 2, range = 4 }: { first?: number; range?: number } = {}): number[] =>
  Array.from({ length: heads }, (_, h) => Math.log(1 - 2 ** (-first - (range * h) / heads)));

/** Manhattan distances between all positions of an image, row by row: float32 [N, N], N = height * width. */
const distances = (height: number, width: number): tf.Tensor2D => {
  const along = (place: (i: number) => number): tf.Tensor => {
    const places = Float32Array.from({ length: height * width }, (_, i) => place(i));
    return tf.abs(tf.sub(tf.tensor2d(places, [height * width, 1]), tf.tensor2d(places, [1, height * width])));
  };
  return tf.add(along((i) => Math.floor(i / width)), along((i) => i % width));
};

/** Turns the two halves of each head's channels against each other by angles that grow with position. @param x float32 [B, heads, N, D] */
const rotate = (x: tf.Tensor): tf.Tensor => {
  const [, , count, width] = x.shape as [number, number, number, number];
  const half = width / 2;
  const angles = Float32Array.from({ length: count * half }, (_, i) => Math.floor(i / half) / 10_000 ** ((i % half) / Math.max(1, half - 1)));
  const [cos, sin] = [Math.cos, Math.sin].map((f) => tf.tensor4d(angles.map(f), [1, 1, count, half])) as [Image, Image];
  const [a, b] = tf.split(x, 2, 3) as [tf.Tensor, tf.Tensor];
  return tf.concat([tf.sub(tf.mul(a, cos), tf.mul(b, sin)), tf.add(tf.mul(b, cos), tf.mul(a, sin))], 3);
};

/**
 * Manhattan self-attention, whole: x + out(softmax(rotate(q) rotate(k)^T / sqrt(D) + decay * distance) v + DWConv5x5(v)), q, k, v from the normalised image.
 * Takes the place of `imageAttention`; `scale` divides the sum as there.
 * @param options.headDim channels per head; even
 * @param options.groups null leaves the norm out
 * @throws RangeError when `headDim` is odd or does not divide `channels`
 * @source Fan et al. 2023 (RMT), arXiv 2309.11523, eq. 3-4 and its code, which adds the decay to the scores where the paper multiplies after softmax
 */
export const retentiveAttention = (scope: Scope, { channels, headDim, groups, eps, scale = 1 }: {
  channels: number; headDim: number; groups: number | null; eps: number; scale?: number;
}): Layer<[Image], Image> => {
  if (headDim % 2 !== 0 || channels % headDim !== 0) throw new RangeError(`retentiveAttention: expected an even headDim that divides ${channels} channels but received ${headDim}`);
  const heads = channels / headDim;
  const norm = groups === null ? undefined : groupNorm(scope.at('group_norm'), { groups, channels, eps });
  const [toQ, toK, toV] = ['to_q', 'to_k', 'to_v'].map((name) => linear(scope.at(name), { from: channels, to: channels })) as [Layer<[tf.Tensor], tf.Tensor>, Layer<[tf.Tensor], tf.Tensor>, Layer<[tf.Tensor], tf.Tensor>];
  const nearby = conv2d(scope.at('lepe'), { from: channels, to: channels, kernel: 5, padding: 2, groups: channels });
  const toOut = linear(scope.at('to_out.0'), { from: channels, to: channels });
  return scope.tapped((params, x) => {
    const [b, h, w, c] = x.shape;
    const tokens = tf.reshape(x, [b, h * w, c]);
    const seen = norm ? norm(params, tokens) : tokens;
    const v = toV(params, seen);
    const decay = tf.mul(tf.tensor4d(headDecays(heads), [1, heads, 1, 1]), tf.reshape(distances(h, w), [1, 1, h * w, h * w]));
    const attended = joinHeads(attendBiased(rotate(splitHeads(toQ(params, seen), heads)), rotate(splitHeads(toK(params, seen), heads)), splitHeads(v, heads), decay));
    const y = toOut(params, tf.add(attended, tf.reshape(nearby(params, tf.reshape(v, [b, h, w, c])), [b, h * w, c])));
    const sum = tf.add<Image>(x, tf.reshape(y, [b, h, w, c]));
    return scale === 1 ? sum : tf.div(sum, scale);
  });
};
