import * as tf from '../../../src/tf.ts';
import { type Case, bool, float, int, once, plain, smooth } from './case.ts';

type T = tf.Tensor;
type Axes = number | number[] | undefined;
type Reduce = (x: T, axis?: number | number[], keepDims?: boolean) => T;

const axes: readonly (readonly [what: string, axis: Axes, keep?: boolean])[] = [
  ['over all', undefined], ['over the last axis', -1], ['over the first axis', 0], ['over two axes', [0, 2]], ['over a middle axis, kept', 1, true], ['over all, kept', undefined, true],
];
const reductions: readonly (readonly [name: string, f: Reduce])[] = [['sum', tf.sum], ['mean', tf.mean], ['max', tf.max], ['min', tf.min], ['prod', tf.prod]];

export const reduce: readonly Case[] = [
  ...reductions.flatMap(([name, f]) => axes.map(([what, axis, keep]) =>
    smooth(`${name} ${what}`, [name === 'prod' ? float([2, 3, 4], 0.6, 1.4) : float([2, 3, 4], -3, 3)], (x: T) => f(x, axis, keep), { step: name === 'prod' ? 1e-2 : 4e-2 }))),
  once('max of ties', [float([2, 3])], (x: T) => tf.max(tf.stack([x, x]), [0, 1])),
  ...(['sum', 'max', 'min', 'prod'] as const).map((name) => plain(`${name} of int32`, [int([2, 3, 4], -4, 5)], (x: T) => tf[name](x, 1))),
  plain('sum of bool', [bool([2, 9])], (x: T) => tf.sum(x, 1)),
  plain('mean of int32', [int([2, 3, 4], -4, 5)], (x: T) => tf.mean(x, 1)),
  plain('all and any', [bool([3, 2, 4])], (x: T) => [tf.all(x), tf.any(x), tf.all(x, 2), tf.any(x, [0, 1], true)]),
  plain('argMax and argMin', [float([3, 4, 5])], (x: T) => [tf.argMax(x), tf.argMax(x, 1), tf.argMax(x, -1), tf.argMin(x, 2), tf.argMin(x, 0)]),
  plain('argMax of int32 ties', [int([3, 9], 0, 3)], (x: T) => [tf.argMax(x, 1), tf.argMin(x, 1)]),
  smooth('logSumExp', [float([2, 3, 4])], (x: T) => tf.logSumExp(x, [1, 2])),
  smooth('euclidean norm', [float([2, 3, 4])], (x: T) => tf.norm(x, 'euclidean', -1)),
  smooth('norm of order 1', [float([2, 3, 4])], (x: T) => tf.norm(x, 1, [0, 1]), { step: 2e-3 }),
  once('norm of order infinity', [float([2, 6])], (x: T) => tf.norm(x, Infinity, 1)),
  smooth('moments', [float([2, 3, 4])], (x: T) => { const { mean, variance } = tf.moments(x, [1, 2]); return [mean, variance]; }),
  smooth('softmax', [float([2, 3, 5], -2, 2)], (x: T) => tf.softmax(x)),
  smooth('logSoftmax', [float([2, 3, 5], -2, 2)], (x: T) => tf.logSoftmax(x)),
  ...[0, 1, 2].flatMap((axis) => [[false, false], [true, false], [false, true], [true, true]].map(([exclusive, reverse]) =>
    smooth(`cumsum on axis ${axis}${exclusive ? ', exclusive' : ''}${reverse ? ', reverse' : ''}`, [float([2, 2, 4])], (x: T) => tf.cumsum(x, axis, exclusive, reverse)))),
  ...[0, 1, 2].flatMap((axis) => [[false, false], [true, false], [false, true], [true, true]].map(([exclusive, reverse]) =>
    smooth(`cumprod on axis ${axis}${exclusive ? ', exclusive' : ''}${reverse ? ', reverse' : ''}`, [float([2, 2, 4], 0.5, 1.5)], (x: T) => tf.cumprod(x, axis, exclusive, reverse)))),
  smooth('cumsum in the middle of a cube', [float([3, 3, 3])], (x: T) => tf.cumsum(x, 0)),
  plain('cumsum of int32', [int([2, 5], -3, 4)], (x: T) => tf.cumsum(x, 1)),
  smooth('topk', [float([2, 3, 7])], (x: T) => tf.topk(x, 3).values, { step: 4e-3 }),
  plain('topk values and indices', [float([2, 3, 7])], (x: T) => { const { values, indices } = tf.topk(x, 4); return [values, indices]; }),
  plain('topk of int32 ties', [int([2, 9], 0, 3)], (x: T) => { const { values, indices } = tf.topk(x, 4); return [values, indices]; }),
  plain('bincount', [int([12], 0, 5), float([12])], (x: T, w: T) => [tf.bincount(x as tf.Tensor1D, tf.tensor1d([]), 6), tf.bincount(x as tf.Tensor1D, w as tf.Tensor1D, 4)]),
  plain('denseBincount', [int([2, 6], 0, 5)], (x: T) => [tf.denseBincount(x as tf.Tensor2D, tf.tensor2d([], [0, 0]), 5), tf.denseBincount(x as tf.Tensor2D, tf.tensor2d([], [0, 0]), 5, true)]),
  plain('confusionMatrix', [int([8], 0, 3), int([8], 0, 3)], (a: T, b: T) => tf.math.confusionMatrix(a as tf.Tensor1D, b as tf.Tensor1D, 3)),
  plain('inTopK parts', [float([3, 5])], (x: T) => tf.greaterEqual(tf.topk(x, 2).values, 0)),
  plain('searchSorted', [float([2, 6]), float([2, 3])], (s: T, v: T) => [tf.lowerBound(tf.cumsum(tf.abs(s), 1), v), tf.upperBound(tf.cumsum(tf.abs(s), 1), tf.abs(v))]),
];
