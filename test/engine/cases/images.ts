import * as tf from '../../../src/tf.ts';
import { type Case, float, once, plain, smooth } from './case.ts';

type T = tf.Tensor;
type T4 = tf.Tensor4D;
type Explicit = [[0, 0], [number, number], [number, number], [0, 0]];
type Pad = 'same' | 'valid' | number | Explicit;

const windows: readonly (readonly [x: readonly number[], size: number | [number, number], stride: number, pad: Pad])[] = [
  [[2, 4, 4, 2], 2, 2, 'valid'], [[2, 5, 4, 2], 2, 2, 'same'], [[2, 5, 5, 2], 3, 1, 'same'], [[2, 5, 5, 2], 3, 2, 1], [[2, 5, 6, 1], [2, 3], 1, 'valid'], [[2, 7, 7, 1], 3, 3, 'same'], [[2, 4, 4, 2], 1, 2, 0],
];
const sizes: readonly (readonly [from: readonly number[], to: [number, number]])[] = [[[2, 3, 4, 2], [6, 8]], [[2, 6, 4, 2], [3, 2]], [[2, 3, 5, 1], [5, 3]], [[2, 4, 4, 1], [4, 4]], [[2, 2, 2, 2], [7, 5]], [[2, 1, 3, 1], [3, 1]]];
const flags = [[false, false], [true, false], [false, true]] as const;
const wide = { step: 2e-2 };

export const images: readonly Case[] = [
  ...windows.flatMap(([x, size, stride, pad]) => {
    const what = `${size} on ${x.join('x')}, stride ${stride}, padding ${pad}`;
    return [
      smooth(`maxPool ${what}`, [float(x, -8, 8)], (a: T) => tf.maxPool(a as T4, size, stride, pad as 'same'), wide),
      smooth(`avgPool ${what}`, [float(x)], (a: T) => tf.avgPool(a as T4, size, stride, pad as 'same')),
    ];
  }),
  smooth('pool with dilation', [float([2, 6, 6, 1])], (a: T) => tf.pool(a as T4, [2, 2], 'avg', 'valid', [2, 2])),
  plain('maxPoolWithArgmax', [float([2, 4, 4, 2])], (a: T) => { const { result, indexes } = tf.maxPoolWithArgmax(a as T4, 2, 2, 'valid', true); return [result, indexes] as T[]; }),
  smooth('avgPool3d', [float([2, 4, 4, 4, 1])], (a: T) => tf.avgPool3d(a as tf.Tensor5D, 2, 2, 'valid'), { twice: false }),
  smooth('avgPool3d that pads', [float([2, 3, 3, 3, 1])], (a: T) => tf.avgPool3d(a as tf.Tensor5D, 2, 2, 'same'), { twice: false }),
  smooth('maxPool3d', [float([2, 4, 4, 4, 1], -8, 8)], (a: T) => tf.maxPool3d(a as tf.Tensor5D, 2, 2, 'valid'), { twice: false }),
  ...sizes.flatMap(([from, to]) => flags.flatMap(([corners, half]) => {
    const what = `${from.slice(1, 3).join('x')} to ${to.join('x')}${corners ? ', corners aligned' : ''}${half ? ', half-pixel centres' : ''}`;
    return [
      smooth(`resizeBilinear ${what}`, [float(from)], (x: T) => tf.image.resizeBilinear(x as T4, to, corners, half)),
      smooth(`resizeNearestNeighbor ${what}`, [float(from)], (x: T) => tf.image.resizeNearestNeighbor(x as T4, to, corners, half)),
    ];
  })),
  smooth('rgbToGrayscale', [float([2, 3, 3, 3])], (x: T) => tf.image.rgbToGrayscale(x as T4)),
  smooth('grayscaleToRGB', [float([2, 3, 3, 1])], (x: T) => tf.image.grayscaleToRGB(x as T4)),
  smooth('batchNorm', [float([2, 3, 3, 2]), float([2]), float([2], 0.5, 2), float([2]), float([2])], (x: T, m: T, v: T, o: T, s: T) => tf.batchNorm(x as T4, m as tf.Tensor1D, v as tf.Tensor1D, o as tf.Tensor1D, s as tf.Tensor1D)),
  once('localResponseNormalization', [float([2, 3, 3, 6])], (x: T) => tf.localResponseNormalization(x as T4, 2, 1, 0.5, 0.75)),
  plain('cropAndResize', [float([2, 5, 5, 2])], (x: T) => tf.image.cropAndResize(x as T4, tf.tensor2d([[0, 0, 1, 1], [0.1, 0.2, 0.7, 0.9], [-0.2, 0, 1.2, 0.5]]), tf.tensor1d([0, 1, 1], 'int32'), [3, 4], 'bilinear', 0.25)),
  plain('cropAndResize, nearest', [float([2, 5, 5, 2])], (x: T) => tf.image.cropAndResize(x as T4, tf.tensor2d([[0, 0, 1, 1], [0.1, 0.2, 0.7, 0.9]]), tf.tensor1d([0, 1], 'int32'), [3, 4], 'nearest')),
  ...(['nearest', 'bilinear'] as const).flatMap((how) => (['constant', 'reflect', 'wrap', 'nearest'] as const).map((fill) =>
    plain(`transform, ${how}, ${fill}`, [float([2, 5, 5, 2])], (x: T) => tf.image.transform(x as T4, tf.tensor2d([[0.93, 0.11, 0.317, -0.12, 1.07, 0.413, 0, 0]]), how, fill, 0.5), {
      // The oracle leaves after the first image of a batch.
      oracle: (x) => tf.concat(tf.split(x as T, 2).map((one) => tf.image.transform(one as T4, tf.tensor2d([[0.93, 0.11, 0.317, -0.12, 1.07, 0.413, 0, 0]]), how, fill, 0.5))),
    }))),
  plain('transform, far outside, with perspective', [float([1, 6, 5, 2])], (x: T) => (['reflect', 'wrap'] as const).map((fill) => tf.image.transform(x as T4, tf.tensor2d([[2.9, 0.1, -7.3, -0.1, 3.1, 3.4, 0.013, 0.021]]), 'bilinear', fill))),
  plain('rotateWithOffset', [float([2, 5, 5, 2])], (x: T) => tf.image.rotateWithOffset(x as T4, 0.4, 0.25)),
  ...(['absoluteDifference', 'huberLoss', 'logLoss', 'meanSquaredError', 'sigmoidCrossEntropy', 'hingeLoss'] as const).map((name) =>
    smooth(`losses.${name}`, [float([2, 5], 0.1, 0.9), float([2, 5], 0.12, 0.88)], (a: T, b: T) => (tf.losses[name] as (a: T, b: T) => T)(a, b), { by: [1], step: name === 'absoluteDifference' ? 1e-3 : 1e-2, twice: name !== 'absoluteDifference' })),
  once('losses.softmaxCrossEntropy', [float([2, 5], 0.1, 0.9), float([2, 5])], (a: T, b: T) => tf.losses.softmaxCrossEntropy(tf.div(a, tf.sum(a, 1, true)), b), { by: [1] }),
  once('losses.cosineDistance', [float([2, 5]), float([2, 5])], (a: T, b: T) => tf.losses.cosineDistance(a, b, 1)),
];
