/** Blocks of the deep-compression autoencoder. */
import * as tf from '../../tf.ts';
import { ones, zeros } from '../init.ts';
import { type Layer, type Scope, param } from '../network.ts';
import { conv2d, linear, pixelShuffle, pixelUnshuffle, rmsNorm, upsampleNearest2x } from '../nn.ts';
import { type ActivationName, activation } from './activation.ts';
import { glumbConv } from './glumbConv.ts';

type Image = tf.Tensor4D;

export const dcNorms = ['rms_norm', 'batch_norm'] as const;
export type DcNorm = (typeof dcNorms)[number];

/** `nn.BatchNorm2d` in evaluation mode: running statistics, which are buffers. */
const batchNorm = (scope: Scope, channels: number, eps = 1e-5): Layer<[Image], Image> => {
  const weight = scope.param('weight', [channels], ones);
  const bias = scope.param('bias', [channels], zeros);
  const mean = scope.param('running_mean', [channels], zeros, { buffer: true });
  const variance = scope.param('running_var', [channels], ones, { buffer: true });
  scope.param('num_batches_tracked', [], zeros, { buffer: true });
  return scope.tapped((params, x) => {
    const gain = tf.mul(param(params, weight), tf.rsqrt(tf.add(param(params, variance), eps)));
    return tf.add<Image>(tf.mul(tf.sub(x, param(params, mean)), gain), param(params, bias));
  });
};

const normOf = (scope: Scope, norm: DcNorm, channels: number): Layer<[Image], Image> =>
  (norm === 'batch_norm' ? batchNorm(scope, channels) : rmsNorm(scope, { channels, bias: true }) as Layer<[Image], Image>);

/** x + norm(conv(act(conv(x)))). */
export const dcResBlock = (scope: Scope, { channels, norm, act }: { channels: number; norm: DcNorm; act: ActivationName }): Layer<[Image], Image> => {
  const f = activation(act);
  const conv1 = conv2d(scope.at('conv1'), { from: channels, to: channels, padding: 1 });
  const conv2 = conv2d(scope.at('conv2'), { from: channels, to: channels, padding: 1, bias: false });
  const normalise = normOf(scope.at('norm'), norm, channels);
  return scope.tapped((params, x) => tf.add<Image>(normalise(params, conv2(params, f(conv1(params, x)))), x));
};

/**
 * ReLU linear attention over positions, on queries, keys and values at several scales, with norm and residual. A head is three neighbouring runs of
 * `headDim` channels of everything concatenated, whatever they held: that is how the reference cuts them.
 * @source Cai et al. 2022 (EfficientViT), arXiv 2205.14756; diffusers `SanaMultiscaleLinearAttention`
 */
const multiscaleAttention = (scope: Scope, { channels, headDim, scales, norm }: { channels: number; headDim: number; scales: readonly number[]; norm: DcNorm }): Layer<[Image], Image> => {
  const heads = Math.floor(channels / headDim);
  const inner = heads * headDim;
  const projections = ['to_q', 'to_k', 'to_v'].map((name) => linear(scope.at(name), { from: channels, to: inner, bias: false }));
  const multiscale = scales.map((kernel, i) => {
    const place = scope.at('to_qkv_multiscale').at(i);
    const spread = conv2d(place.at('proj_in'), { from: 3 * inner, to: 3 * inner, kernel, padding: Math.floor(kernel / 2), groups: 3 * inner, bias: false });
    const mix = conv2d(place.at('proj_out'), { from: 3 * inner, to: 3 * inner, kernel: 1, groups: 3 * heads, bias: false });
    return place.tapped((params, x: Image) => mix(params, spread(params, x)));
  });
  const toOut = linear(scope.at('to_out'), { from: inner * (1 + scales.length), to: channels, bias: false });
  const normalise = normOf(scope.at('norm_out'), norm, channels);
  return scope.tapped((params, x) => {
    const [b, h, w] = x.shape;
    const qkv = tf.concat(projections.map((project) => project(params, x)), 3) as Image;
    const all = tf.concat([qkv, ...multiscale.map((layer) => layer(params, qkv))], 3);
    const cut = tf.transpose(tf.reshape(all, [b, h * w, heads * (1 + scales.length), 3 * headDim]), [0, 2, 1, 3]);
    const [q, k, v] = tf.split(cut, 3, 3) as [tf.Tensor, tf.Tensor, tf.Tensor];
    const y = linearAttend(tf.relu(q), tf.relu(k), v, h * w > headDim);
    return tf.add<Image>(normalise(params, toOut(params, tf.reshape(tf.transpose(y, [0, 2, 1, 3]), [b, h, w, -1])) as Image), x);
  });
};

/** sum over j of (q.k_j) v_j, divided by sum over j of q.k_j; all [B, heads, N, D]. By keys first, or by scores first where there are fewer positions than channels. */
const linearAttend = (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, keysFirst: boolean): tf.Tensor => {
  const eps = 1e-15;
  if (keysFirst) {
    const numerator = tf.matMul(q, tf.matMul(k, v, true, false));
    return tf.div(numerator, tf.add(tf.sum(tf.mul(q, tf.sum(k, 2, true)), 3, true), eps));
  }
  const scores = tf.matMul(q, k, false, true);
  return tf.matMul(tf.div(scores, tf.add(tf.sum(scores, 3, true), eps)), v);
};

/** Linear attention, then a gated bottleneck. */
export const efficientVitBlock = (scope: Scope, { channels, headDim, scales, norm }: {
  channels: number; headDim: number; scales: readonly number[]; norm: DcNorm;
}): Layer<[Image], Image> => {
  const attend = multiscaleAttention(scope.at('attn'), { channels, headDim, scales, norm });
  const mix = glumbConv(scope.at('conv_out'), { from: channels, to: channels, norm: true });
  return scope.tapped((params, x) => mix(params, attend(params, x)));
};

/** [B, H, W, n * size] to [B, H, W, n]: the mean of each `size` neighbouring channels. */
export const averageChannels = (x: Image, size: number): Image => {
  const [b, h, w, c] = x.shape;
  return tf.mean(tf.reshape(x, [b, h, w, c / size, size]), 4) as Image;
};

/** [B, H, W, n] to [B, H, W, n * times]: each channel `times` over, in neighbouring places. */
export const repeatChannels = (x: Image, times: number): Image => {
  const [b, h, w, c] = x.shape;
  return tf.reshape(tf.stack(Array.from({ length: times }, () => x), 4), [b, h, w, c * times]);
};

/** Halving: 3x3 convolution of stride 2, or to a quarter of the channels and pixel-unshuffle; the shortcut is an unshuffle averaged over channels. */
export const dcDown = (scope: Scope, { from, to, unshuffle, shortcut }: { from: number; to: number; unshuffle: boolean; shortcut: boolean }): Layer<[Image], Image> => {
  const conv = conv2d(scope.at('conv'), { from, to: unshuffle ? to / 4 : to, stride: unshuffle ? 1 : 2, padding: 1 });
  return scope.tapped((params, x) => {
    const y = unshuffle ? pixelUnshuffle(conv(params, x), 2) : conv(params, x);
    return shortcut ? tf.add(y, averageChannels(pixelUnshuffle(x, 2), (from * 4) / to)) : y;
  });
};

/** Doubling: nearest and 3x3 convolution, or 3x3 convolution to four times the channels and pixel-shuffle; the shortcut repeats channels and shuffles. */
export const dcUp = (scope: Scope, { from, to, interpolate, shortcut }: { from: number; to: number; interpolate: boolean; shortcut: boolean }): Layer<[Image], Image> => {
  const conv = conv2d(scope.at('conv'), { from, to: interpolate ? to : to * 4, padding: 1 });
  return scope.tapped((params, x) => {
    const y = interpolate ? conv(params, upsampleNearest2x(x)) : pixelShuffle(conv(params, x), 2);
    return shortcut ? tf.add(y, pixelShuffle(repeatChannels(x, (to * 4) / from), 2)) : y;
  });
};
