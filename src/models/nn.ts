/**
 * The layers all networks are made of. Each takes its place in the state dict and its sizes, and returns a pure function of the parameters.
 * Activations are float32 [B, H, W, C] or [B, N, C]; parameters have PyTorch's layout.
 */
import * as fused from '../engine/fused.ts';
import * as tf from '../tf.ts';
import { type Init, ones, torchBias, torchDefault, zeros } from './init.ts';
import { type Layer, type Params, type Scope, param } from './network.ts';

type Image = tf.Tensor4D;

/** Padding in pixels: one number for all sides, or [[top, bottom], [left, right]]. */
export type Padding = number | readonly [readonly [number, number], readonly [number, number]];

type ConvOptions = Readonly<{ stride?: number; padding?: Padding; dilation?: number; groups?: number }>;

/** Grouped convolution with a 1x1 kernel: one matrix product per group, as a batch. */
const groupedPointwise = (x: Image, weight: tf.Tensor4D, groups: number): Image => {
  const [b, h, w, from] = x.shape;
  const to = weight.shape[0];
  const grouped = tf.transpose(tf.reshape(x, [b * h * w, groups, from / groups]), [1, 0, 2]);
  const y = tf.matMul(grouped, tf.reshape(weight, [groups, to / groups, from / groups]), false, true);
  return tf.reshape(tf.transpose(y, [1, 0, 2]), [b, h, w, to]);
};

/**
 * Two-dimensional convolution with an OIHW weight.
 * @param weight float32 [out, in / groups, kh, kw]
 * @param padding zeros around the input, in pixels
 */
export const convolve = (x: Image, weight: tf.Tensor4D, { stride = 1, padding = 0, dilation = 1, groups = 1 }: ConvOptions = {}): Image => {
  const pad = typeof padding === 'number' ? [[padding, padding], [padding, padding]] as const : padding;
  const explicit: tf.backend_util.ExplicitPadding = [[0, 0], [...pad[0]], [...pad[1]], [0, 0]];
  if (groups === 1) return tf.conv2d(x, tf.transpose(weight, [2, 3, 1, 0]), stride, explicit, 'NHWC', dilation);
  const from = x.shape[3];
  const [to, share, kh, kw] = weight.shape;
  if (share === 1) {
    const filter = tf.transpose(tf.reshape(weight, [from, to / from, kh, kw]), [2, 3, 0, 1]) as tf.Tensor4D;
    return tf.depthwiseConv2d(x, filter, stride, explicit, 'NHWC', dilation);
  }
  if (kh === 1 && kw === 1 && stride === 1 && padding === 0) return groupedPointwise(x, weight, groups);
  const weights = tf.split(weight, groups, 0) as tf.Tensor4D[];
  return tf.concat((tf.split(x, groups, 3) as Image[]).map((part, i) => convolve(part, weights[i] as tf.Tensor4D, { stride, padding, dilation })), 3);
};

/** Names of a layer's low-rank adapter, as peft has them: A goes in, B comes out. */
export const adapterNames = (path: string): Readonly<{ a: string; b: string }> => ({ a: `${path}.lora_A.weight`, b: `${path}.lora_B.weight` });

/**
 * Adds what the layer's low-rank adapter makes of its input, where the parameters hold one.
 * @source Hu et al. 2021, arXiv 2106.09685, eq. 3
 */
const plusAdapter = <T extends tf.Tensor>(params: Params, { a, b }: ReturnType<typeof adapterNames>, y: T, low: (a: tf.Tensor, b: tf.Tensor) => T): T => {
  const [down, up] = [params[a], params[b]];
  return down && up ? tf.add<T>(y, low(down, up)) : y;
};

/**
 * `nn.Conv2d`: parameters `weight` [out, in / groups, k, k] and, unless `bias` is false, `bias` [out].
 * @throws RangeError when `groups` does not divide both channel counts
 */
export const conv2d = (scope: Scope, { from, to, kernel = 3, stride = 1, padding = 0, dilation = 1, groups = 1, bias = true, init = torchDefault, biasInit }: {
  from: number; to: number; kernel?: number; stride?: number; padding?: Padding; dilation?: number; groups?: number; bias?: boolean; init?: Init; biasInit?: Init;
}): Layer<[Image], Image> => {
  if (from % groups !== 0 || to % groups !== 0) throw new RangeError(`conv2d: expected groups to divide ${from} and ${to} channels but received ${groups}`);
  const weight = scope.param('weight', [to, from / groups, kernel, kernel], init, { adaptable: groups === 1 });
  const adapter = adapterNames(scope.path);
  const offset = bias ? scope.param('bias', [to], biasInit ?? torchBias((from / groups) * kernel * kernel)) : undefined;
  return scope.tapped((params, x) => {
    const straight = convolve(x, param(params, weight), { stride, padding, dilation, groups });
    const y = plusAdapter(params, adapter, straight, (a, b) => convolve(convolve(x, a as tf.Tensor4D, { stride, padding, dilation }), b as tf.Tensor4D));
    return offset === undefined ? y : tf.add(y, param(params, offset));
  });
};

/** `nn.Linear` on the last axis of a tensor of any rank: `weight` [to, from] and `bias` [to]. */
export const linear = (scope: Scope, { from, to, bias = true, init = torchDefault, biasInit }: {
  from: number; to: number; bias?: boolean; init?: Init; biasInit?: Init;
}): Layer<[tf.Tensor], tf.Tensor> => {
  const weight = scope.param('weight', [to, from], init, { adaptable: true });
  const adapter = adapterNames(scope.path);
  const offset = bias ? scope.param('bias', [to], biasInit ?? torchBias(from)) : undefined;
  return scope.tapped((params, x) => {
    const flat = tf.reshape(x, [-1, from]) as tf.Tensor2D;
    const straight = tf.matMul(flat, param<tf.Tensor2D>(params, weight), false, true);
    const rows = plusAdapter(params, adapter, straight, (a, b) => tf.matMul(tf.matMul(flat, a as tf.Tensor2D, false, true), b as tf.Tensor2D, false, true));
    const y = tf.reshape(rows, [...x.shape.slice(0, -1), to]);
    return offset === undefined ? y : tf.add(y, param(params, offset));
  });
};

/** x * sigmoid(x). */
export const silu = fused.silu;

/** x * Phi(x), Phi the normal distribution function. */
export const gelu = <T extends tf.Tensor>(x: T): T => fused.gelu(x);

/** The tanh form of `gelu`. */
export const geluTanh = <T extends tf.Tensor>(x: T): T => fused.gelu(x, { tanh: true });

/** x * tanh(softplus(x)). */
export const mish = <T extends tf.Tensor>(x: T): T => tf.mul(x, tf.tanh(tf.softplus(x)));

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
  return scope.tapped((params, x) => fused.groupNormalise(x, { groups, eps, ...(weight !== undefined && bias !== undefined && { weight: param(params, weight), bias: param(params, bias) }) }));
};

/** `nn.LayerNorm` over the last axis. */
export const layerNorm = (scope: Scope, { channels, eps = 1e-5, affine = true }: { channels: number; eps?: number; affine?: boolean }): Layer<[tf.Tensor], tf.Tensor> => {
  const weight = affine ? scope.param('weight', [channels], ones) : undefined;
  const bias = affine ? scope.param('bias', [channels], zeros) : undefined;
  return scope.tapped((params, x) => fused.layerNormalise(x, { eps, ...(weight !== undefined && bias !== undefined && { weight: param(params, weight), bias: param(params, bias) }) }));
};

/** `RMSNorm` over the last axis: x / sqrt(mean(x^2) + eps), times a gain, plus a bias where there is one. */
export const rmsNorm = (scope: Scope, { channels, eps = 1e-5, affine = true, bias = false }: { channels: number; eps?: number; affine?: boolean; bias?: boolean }): Layer<[tf.Tensor], tf.Tensor> => {
  const weight = affine ? scope.param('weight', [channels], ones) : undefined;
  const offset = affine && bias ? scope.param('bias', [channels], zeros) : undefined;
  return scope.tapped((params, x) => {
    const y = tf.mul(x, tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), eps)));
    const scaled = weight === undefined ? y : tf.mul(y, param(params, weight));
    return offset === undefined ? scaled : tf.add(scaled, param(params, offset));
  });
};

/** `F.pixel_shuffle` on NHWC: [B, H, W, C * r * r] to [B, H * r, W * r, C], input channel c * r * r + dy * r + dx. */
export const pixelShuffle = (x: Image, r: number): Image => {
  const [b, h, w, c] = x.shape;
  const to = c / (r * r);
  return tf.reshape(tf.transpose(tf.reshape(x, [b, h, w, to, r, r]), [0, 1, 4, 2, 5, 3]), [b, h * r, w * r, to]);
};

/** `F.pixel_unshuffle` on NHWC: [B, H, W, C] to [B, H / r, W / r, C * r * r], output channel c * r * r + dy * r + dx. */
export const pixelUnshuffle = (x: Image, r: number): Image => {
  const [b, h, w, c] = x.shape;
  return tf.reshape(tf.transpose(tf.reshape(x, [b, h / r, r, w / r, r, c]), [0, 1, 3, 5, 2, 4]), [b, h / r, w / r, c * r * r]);
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
  fused.attend(q, k, v, scale);

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
