/**
 * Magnitude-preserving operations: activations and weights keep unit variance without normalisation layers that have parameters.
 * @source Karras et al. 2024 (EDM2), arXiv 2312.02696, appendix B; NVlabs/edm2, training/networks_edm2.py
 */
import * as tf from '../tf.ts';
import { gaussian, zeros } from './init.ts';
import { uniform } from '../random.ts';
import { type Layer, type Scope, param } from './network.ts';
import { convolve, silu } from './nn.ts';

type Image = tf.Tensor4D;

/** x / (eps + RMS(x)), the mean taken over `axes`; by default over all but the first, as for a weight's filters. Eq. 66. */
export const normalise = <T extends tf.Tensor>(x: T, axes: number[] = x.shape.map((_, i) => i).slice(1), eps = 1e-4): T => {
  const count = axes.reduce((product, axis) => product * (x.shape[axis] as number), 1);
  // The tiny addition keeps the gradient of the root finite at zero, far below eps.
  const norm = tf.sqrt(tf.add(tf.sum(tf.square(x), axes, true), 1e-30));
  return tf.div(x, tf.add(tf.mul(norm, 1 / Math.sqrt(count)), eps));
};

/** silu(x) / 0.596: unit variance for unit normal input. Eq. 81. */
export const mpSilu = <T extends tf.Tensor>(x: T): T => tf.div(silu(x), 0.596);

/** ((1 - t) a + t b) / sqrt((1 - t)^2 + t^2). Eq. 88. */
export const mpSum = <T extends tf.Tensor>(a: T, b: T, t = 0.5): T => tf.mul(tf.add(a, tf.mul(tf.sub(b, a), t)), 1 / Math.hypot(1 - t, t));

/** Channels of a and b side by side, weighted so that both count by `t` and the whole keeps unit variance. Eq. 103. */
export const mpCat = (a: Image, b: Image, t = 0.5): Image => {
  const [na, nb] = [a.shape[3], b.shape[3]];
  const c = Math.sqrt((na + nb) / ((1 - t) ** 2 + t ** 2));
  return tf.concat([tf.mul(a, (c / Math.sqrt(na)) * (1 - t)), tf.mul(b, (c / Math.sqrt(nb)) * t)], 3) as Image;
};

/** Moves an axis to the front of the last two, as [n, size, rest]; back by reshaping. */
const asRows = (x: Image, axis: 1 | 2): tf.Tensor3D => {
  const [b, h, w, c] = x.shape;
  return tf.reshape(x, axis === 1 ? [b, h, w * c] : [b * h, w, c]);
};

const padRows = (x: tf.Tensor3D, before: number, after: number): tf.Tensor3D => (before === 0 && after === 0 ? x : tf.pad(x, [[0, 0], [before, after], [0, 0]]));

/** One axis filtered and halved: y[i] = sum_k f[k] x[2 i + k - pad]. */
const halveRows = (x: tf.Tensor3D, filter: readonly number[]): tf.Tensor3D => {
  const pad = (filter.length - 2) / 2;
  const padded = padRows(x, pad, pad);
  const [n, size, rest] = padded.shape;
  const phases = tf.split(tf.reshape(padded, [n, size / 2, 2 * rest]), 2, 2);
  const terms = filter.map((weight, k) => tf.mul(tf.slice(phases[k % 2] as tf.Tensor3D, [0, Math.floor(k / 2), 0], [n, x.shape[1] / 2, rest]), weight));
  return tf.addN(terms) as tf.Tensor3D;
};

/** One axis doubled and filtered: y[2 i + k - pad] += 2 f[k] x[i]. */
const doubleRows = (x: tf.Tensor3D, filter: readonly number[]): tf.Tensor3D => {
  const pad = (filter.length - 2) / 2;
  const [n, size, rest] = x.shape;
  const reach = Math.ceil(filter.length / 2);
  const padded = padRows(x, reach, reach);
  const phases = [0, 1].map((j) => tf.addN(filter.flatMap((weight, k) => ((j + pad - k) % 2 === 0 ? [tf.mul(tf.slice(padded, [0, reach + (j + pad - k) / 2, 0], [n, size, rest]), 2 * weight)] : []))));
  return tf.reshape(tf.stack(phases, 2), [n, size * 2, rest]);
};

/**
 * Halves or doubles height and width with a separable filter of even length.
 * @param filter taps, scaled here to sum 1; [1, 1] averages 2 x 2 blocks, or repeats pixels
 * @throws RangeError when the filter's length is odd
 */
export const resample = (x: Image, mode: 'keep' | 'down' | 'up', filter: readonly number[] = [1, 1]): Image => {
  if (mode === 'keep') return x;
  if (filter.length % 2 !== 0) throw new RangeError(`resample: expected a filter of even length but received ${filter.length}`);
  const sum = filter.reduce((a, b) => a + b, 0);
  const taps = filter.map((tap) => tap / sum);
  const [b, h, w, c] = x.shape;
  if (mode === 'down') return tf.reshape(halveRows(asRows(tf.reshape(halveRows(asRows(x, 1), taps), [b, h / 2, w, c]), 2), taps), [b, h / 2, w / 2, c]);
  return tf.reshape(doubleRows(asRows(tf.reshape(doubleRows(asRows(x, 1), taps), [b, h * 2, w, c]), 2), taps), [b, h * 2, w * 2, c]);
};

/** The weight as it is used: unit filters times gain, each of norm `gain`. Eq. 47. */
export const mpWeight = <T extends tf.Tensor>(weight: T, gain: tf.Tensor | number = 1): T => {
  const inputs = weight.shape.slice(1).reduce((product, n) => product * n, 1);
  const scale = 1 / Math.sqrt(inputs);
  return tf.mul(normalise(weight), typeof gain === 'number' ? gain * scale : tf.mul(gain, scale));
};

/** `MPConv` with a kernel: parameter `weight` [to, from, k, k], no bias. */
export const mpConv = (scope: Scope, { from, to, kernel }: { from: number; to: number; kernel: number }): Layer<[Image, gain?: tf.Tensor | number], Image> => {
  const name = scope.param('weight', [to, from, kernel, kernel], gaussian(1));
  return scope.tapped((params, x, gain = 1) => convolve(x, mpWeight(param<tf.Tensor4D>(params, name), gain), { padding: Math.floor(kernel / 2) }));
};

/** `MPConv` without kernel: parameter `weight` [to, from] on [B, from]. */
export const mpLinear = (scope: Scope, { from, to }: { from: number; to: number }): Layer<[tf.Tensor2D, gain?: tf.Tensor | number], tf.Tensor2D> => {
  const name = scope.param('weight', [to, from], gaussian(1));
  return scope.tapped((params, x, gain = 1) => tf.matMul(x, mpWeight(param<tf.Tensor2D>(params, name), gain), false, true));
};

/** `MPFourier`: sqrt(2) cos(f x + phase) with fixed random frequencies and phases. @returns [B] to [B, channels] */
export const mpFourier = (scope: Scope, channels: number): Layer<[tf.Tensor1D], tf.Tensor2D> => {
  const freqs = scope.param('freqs', [channels], gaussian(2 * Math.PI), { buffer: true });
  const phases = scope.param('phases', [channels], (key, [size]) => uniform(key, size as number).map((x) => 2 * Math.PI * x), { buffer: true });
  return scope.tapped((params, x) => tf.mul(tf.cos(tf.add(tf.mul(tf.reshape(x, [-1, 1]), tf.reshape(param(params, freqs), [1, -1])), param(params, phases))), Math.SQRT2));
};

/** A learned scalar that starts at 0. */
export const gain = (scope: Scope, name: string): string => scope.param(name, [], zeros);
