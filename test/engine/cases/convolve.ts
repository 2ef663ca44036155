import * as tf from '../../../src/tf.ts';
import { type Case, float, once, smooth } from './case.ts';

type T = tf.Tensor;
type T4 = tf.Tensor4D;
type Explicit = [[0, 0], [number, number], [number, number], [0, 0]];
type Pad = 'same' | 'valid' | number | Explicit;
const lopsided: Explicit = [[0, 0], [1, 2], [0, 1], [0, 0]];
const lanes = ([, [top, bottom], [left, right]]: Explicit): string => `padding ${top}, ${bottom}, ${left}, ${right}`;
const words = (pad: Pad): string => (Array.isArray(pad) ? lanes(pad) : `padding ${pad}`);

const convolutions: readonly (readonly [x: readonly number[], filter: readonly number[], stride: number | [number, number], pad: Pad, dilation?: number])[] = [
  [[2, 5, 4, 3], [3, 3, 3, 2], 1, 'same'], [[2, 5, 4, 3], [3, 3, 3, 2], 1, 'valid'], [[2, 5, 6, 2], [3, 3, 2, 3], 2, 'same'], [[2, 6, 6, 2], [3, 3, 2, 3], 2, 1], [[2, 5, 4, 2], [1, 1, 2, 3], 1, 0],
  [[2, 6, 6, 2], [4, 4, 2, 2], 2, 1], [[2, 6, 6, 2], [2, 2, 2, 3], 2, 'valid'], [[2, 5, 5, 2], [3, 2, 2, 2], 1, lopsided], [[2, 7, 6, 2], [3, 3, 2, 2], [2, 1], 'same'], [[2, 7, 7, 2], [3, 3, 2, 2], 3, 'valid'],
  [[2, 6, 6, 2], [1, 1, 2, 2], 2, 0], [[2, 7, 7, 2], [3, 3, 2, 2], 1, 'same', 2], [[2, 6, 7, 2], [3, 2, 2, 2], 1, 'valid', 2], [[1, 9, 9, 1], [3, 3, 1, 2], 1, 3, 3], [[2, 5, 5, 2], [4, 4, 2, 1], 1, 1],
];
/** Channels, and images, that fill the blocks of the runtime's fastest convolutions, and some that do not. */
const blocked: typeof convolutions = [
  [[2, 4, 4, 16], [3, 3, 16, 8], 1, 'same'], [[8, 4, 4, 8], [3, 3, 8, 16], 1, 'same'], [[8, 6, 6, 8], [4, 4, 8, 8], 2, 1], [[2, 5, 4, 16], [3, 3, 16, 12], 1, lopsided], [[3, 5, 5, 8], [3, 3, 8, 16], 1, 'same', 2],
  [[2, 4, 4, 16], [1, 1, 16, 16], 1, 0], [[16, 5, 5, 16], [3, 3, 16, 16], 2, 'same'],
];
const depthwise: typeof convolutions = [
  [[2, 5, 4, 3], [3, 3, 3, 1], 1, 'same'], [[2, 5, 4, 2], [3, 3, 2, 2], 1, 'valid'], [[2, 6, 6, 2], [3, 3, 2, 1], 2, 'same'], [[2, 6, 6, 2], [3, 3, 2, 2], 2, 1], [[2, 5, 5, 2], [3, 2, 2, 1], 1, lopsided],
  [[2, 7, 7, 2], [3, 3, 2, 1], 1, 'same', 2], [[2, 4, 4, 3], [1, 1, 3, 2], 1, 0], [[2, 6, 6, 3], [4, 4, 3, 1], 2, 1],
];
const transposed: readonly (readonly [x: readonly number[], filter: readonly number[], out: [number, number, number, number], stride: number, pad: Pad])[] = [
  [[2, 3, 3, 2], [3, 3, 3, 2], [2, 3, 3, 3], 1, 'same'], [[2, 3, 3, 2], [4, 4, 3, 2], [2, 6, 6, 3], 2, 'same'], [[2, 3, 2, 2], [2, 2, 3, 2], [2, 6, 4, 3], 2, 'valid'], [[2, 3, 3, 2], [3, 3, 2, 2], [2, 6, 6, 2], 2, 'same'],
  [[2, 3, 3, 2], [4, 4, 2, 2], [2, 6, 6, 2], 2, 1], [[2, 3, 3, 2], [3, 3, 2, 2], [2, 5, 5, 2], 2, 1],
];

export const convolve: readonly Case[] = [
  ...convolutions.map(([x, filter, stride, pad, dilation = 1]) => smooth(`conv2d ${filter.join('x')} on ${x.join('x')}, stride ${stride}, ${words(pad)}, dilation ${dilation}`, [float(x), float(filter)],
    (a: T, w: T) => tf.conv2d(a as T4, w as T4, stride, pad as 'same', 'NHWC', dilation))),
  ...blocked.map(([x, filter, stride, pad, dilation = 1]) => once(`conv2d ${filter.join('x')} on ${x.join('x')}, stride ${stride}, ${words(pad)}, dilation ${dilation}`, [float(x), float(filter)],
    (a: T, w: T) => tf.conv2d(a as T4, w as T4, stride, pad as 'same', 'NHWC', dilation))),
  ...depthwise.map(([x, filter, stride, pad, dilation = 1]) => smooth(`depthwiseConv2d ${filter.join('x')} on ${x.join('x')}, stride ${stride}, ${words(pad)}, dilation ${dilation}`, [float(x), float(filter)],
    (a: T, w: T) => tf.depthwiseConv2d(a as T4, w as T4, stride as number, pad as 'same', 'NHWC', dilation))),
  ...transposed.map(([x, filter, out, stride, pad]) => smooth(`conv2dTranspose ${filter.join('x')} to ${out.join('x')}, stride ${stride}, ${words(pad)}`, [float(x), float(filter)],
    (a: T, w: T) => tf.conv2dTranspose(a as T4, w as T4, out, stride, pad as 'same'))),
  smooth('separableConv2d', [float([2, 5, 4, 2]), float([3, 3, 2, 1]), float([1, 1, 2, 3])], (x: T, d: T, p: T) => tf.separableConv2d(x as T4, d as T4, p as T4, 1, 'same')),
  smooth('conv1d', [float([2, 7, 2]), float([3, 2, 3])], (x: T, w: T) => tf.conv1d(x as tf.Tensor3D, w as tf.Tensor3D, 2, 'same')),
  once('fused conv2d with bias and relu', [float([2, 4, 4, 2]), float([3, 3, 2, 3]), float([3])], (x: T, w: T, b: T) => tf.fused.conv2d({ x: x as T4, filter: w as T4, strides: 1, pad: 'same', bias: b as tf.Tensor1D, activation: 'relu' }), { step: 1e-3 }),
  once('fused depthwiseConv2d with bias', [float([2, 4, 4, 2]), float([3, 3, 2, 1]), float([2])], (x: T, w: T, b: T) => tf.fused.depthwiseConv2d({ x: x as T4, filter: w as T4, strides: 1, pad: 'same', bias: b as tf.Tensor1D })),
  smooth('conv3d', [float([2, 3, 4, 4, 2]), float([2, 3, 3, 2, 2])], (x: T, w: T) => tf.conv3d(x as tf.Tensor5D, w as tf.Tensor5D, 1, 'same'), { twice: false }),
  smooth('conv3dTranspose', [float([2, 2, 2, 2, 2]), float([2, 2, 2, 2, 2])], (x: T, w: T) => tf.conv3dTranspose(x as tf.Tensor5D, w as tf.Tensor5D, [2, 4, 4, 4, 2], 2, 'same'), { by: [] }),
  once('dilation2d', [float([2, 5, 5, 2]), float([2, 2, 2], 0, 3)], (x: T, w: T) => tf.dilation2d(x as T4, w as tf.Tensor3D, 1, 'same'), { step: 2e-3, lacks: 'Dilation2D' }),
];
