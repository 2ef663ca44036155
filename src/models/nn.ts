/**
 * The layers all networks are made of. Each takes its place in the state dict and its sizes, and returns a pure function of the parameters.
 * Activations are float32 [B, H, W, C] or [B, N, C]; parameters have PyTorch's layout.
 */
import * as tf from '../tf.ts';
import { type Init, ones, torchBias, torchDefault, zeros } from './init.ts';
import { type Layer, type Scope, param } from './network.ts';

type Image = tf.Tensor4D;

/** Padding in pixels: one number for all sides, or [[top, bottom], [left, right]]. */
export type Padding = number | readonly [readonly [number, number], readonly [number, number]];

/**
 * Two-dimensional convolution with an OIHW weight.
 * @param weight float32 [out, in / groups, kh, kw]
 * @param padding zeros around the input, in pixels
 */
export const convolve = (x: Image, weight: tf.Tensor4D, { stride = 1, padding = 0, dilation = 1 }: { stride?: number; padding?: Padding; dilation?: number } = {}): Image => {
  const pad = typeof padding === 'number' ? [[padding, padding], [padding, padding]] as const : padding;
  const explicit: tf.backend_util.ExplicitPadding = [[0, 0], [...pad[0]], [...pad[1]], [0, 0]];
  return tf.conv2d(x, tf.transpose(weight, [2, 3, 1, 0]), stride, explicit, 'NHWC', dilation);
};

/** `nn.Conv2d` (groups = 1): parameters `weight` [out, in, k, k] and, unless `bias` is false, `bias` [out]. */
export const conv2d = (scope: Scope, { from, to, kernel = 3, stride = 1, padding = 0, dilation = 1, bias = true, init = torchDefault, biasInit }: {
  from: number; to: number; kernel?: number; stride?: number; padding?: Padding; dilation?: number; bias?: boolean; init?: Init; biasInit?: Init;
}): Layer<[Image], Image> => {
  const weight = scope.param('weight', [to, from, kernel, kernel], init);
  const offset = bias ? scope.param('bias', [to], biasInit ?? torchBias(from * kernel * kernel)) : undefined;
  return scope.tapped((params, x) => {
    const y = convolve(x, param(params, weight), { stride, padding, dilation });
    return offset === undefined ? y : tf.add(y, param(params, offset));
  });
};

/** `nn.Linear` on the last axis of a tensor of any rank: `weight` [to, from] and `bias` [to]. */
export const linear = (scope: Scope, { from, to, bias = true, init = torchDefault, biasInit }: {
  from: number; to: number; bias?: boolean; init?: Init; biasInit?: Init;
}): Layer<[tf.Tensor], tf.Tensor> => {
  const weight = scope.param('weight', [to, from], init);
  const offset = bias ? scope.param('bias', [to], biasInit ?? torchBias(from)) : undefined;
  return scope.tapped((params, x) => {
    const flat = tf.reshape(x, [-1, from]) as tf.Tensor2D;
    const y = tf.reshape(tf.matMul(flat, param<tf.Tensor2D>(params, weight), false, true), [...x.shape.slice(0, -1), to]);
    return offset === undefined ? y : tf.add(y, param(params, offset));
  });
};

/** x * sigmoid(x). */
export const silu = <T extends tf.Tensor>(x: T): T => tf.mul(x, tf.sigmoid(x));

/** Normalises x to zero mean and unit variance over `axes` (biased variance, as PyTorch's norms have it). */
export const standardise = (x: tf.Tensor, axes: number[], eps: number): tf.Tensor => {
  const centred = tf.sub(x, tf.mean(x, axes, true));
  return tf.mul(centred, tf.rsqrt(tf.add(tf.mean(tf.square(centred), axes, true), eps)));
};

/**
 * `nn.GroupNorm` on [B, ..., C]: statistics per image and group of C / groups neighbouring channels, then an affine map per channel.
 * @throws RangeError when `groups` does not divide `channels`
 */
export const groupNorm = (scope: Scope, { groups, channels, eps = 1e-5, affine = true }: { groups: number; channels: number; eps?: number; affine?: boolean }): Layer<[tf.Tensor], tf.Tensor> => {
  if (channels % groups !== 0) throw new RangeError(`groupNorm: expected groups to divide ${channels} channels but received ${groups}`);
  const weight = affine ? scope.param('weight', [channels], ones) : undefined;
  const bias = affine ? scope.param('bias', [channels], zeros) : undefined;
  return scope.tapped((params, x) => {
    const [batch] = x.shape as [number];
    const grouped = tf.reshape(x, [batch, -1, groups, channels / groups]);
    const y = tf.reshape(standardise(grouped, [1, 3], eps), x.shape);
    return weight === undefined || bias === undefined ? y : tf.add(tf.mul(y, param(params, weight)), param(params, bias));
  });
};

/** `nn.LayerNorm` over the last axis. */
export const layerNorm = (scope: Scope, { channels, eps = 1e-5, affine = true }: { channels: number; eps?: number; affine?: boolean }): Layer<[tf.Tensor], tf.Tensor> => {
  const weight = affine ? scope.param('weight', [channels], ones) : undefined;
  const bias = affine ? scope.param('bias', [channels], zeros) : undefined;
  return scope.tapped((params, x) => {
    const y = standardise(x, [x.rank - 1], eps);
    return weight === undefined || bias === undefined ? y : tf.add(tf.mul(y, param(params, weight)), param(params, bias));
  });
};

/** Nearest-neighbour enlargement by 2, by stacking and reshaping: tfjs's own resize has a wrong gradient at batch > 1. */
export const upsampleNearest2x = (x: Image): Image => {
  const [b, h, w, c] = x.shape;
  const wide = tf.reshape(tf.stack([x, x], 3), [b, h, w * 2, c]);
  return tf.reshape(tf.stack([wide, wide], 2), [b, h * 2, w * 2, c]);
};

/**
 * Softmax attention. @param q, k, v float32 [B, heads, N, D] (k and v may have another N) @returns [B, heads, N, D]
 * @source Vaswani et al. 2017, arXiv 1706.03762, eq. 1
 */
export const attend = (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, scale = 1 / Math.sqrt(q.shape[q.rank - 1] as number)): tf.Tensor =>
  tf.matMul(tf.softmax(tf.mul(tf.matMul(q, k, false, true), scale)), v);

/** [B, N, heads * D] to [B, heads, N, D]. */
export const splitHeads = (x: tf.Tensor, heads: number): tf.Tensor => {
  const [b, n, c] = x.shape as [number, number, number];
  return tf.transpose(tf.reshape(x, [b, n, heads, c / heads]), [0, 2, 1, 3]);
};

/** [B, heads, N, D] to [B, N, heads * D]. */
export const joinHeads = (x: tf.Tensor): tf.Tensor => {
  const [b, heads, n, d] = x.shape as [number, number, number, number];
  return tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [b, n, heads * d]);
};
