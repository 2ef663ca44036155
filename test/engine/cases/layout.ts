import * as tf from '../../../src/tf.ts';
import { type Case, bool, float, int, plain, smooth } from './case.ts';

type T = tf.Tensor;
type T1 = tf.Tensor1D;
type T4 = tf.Tensor4D;

const image = [2, 4, 3, 2] as const;
const perms = [[1, 0], [0, 2, 1], [2, 0, 1], [0, 3, 1, 2], [0, 2, 3, 1], [3, 2, 0, 1], [0, 2, 1, 3], [1, 0, 3, 2, 4], [0, 5, 1, 4, 2, 3]];
const slices: readonly (readonly [what: string, begin: number[], end: number[], strides: number[], masks?: readonly number[]])[] = [
  ['with a stride', [0, 1, 0, 0], [2, 4, 3, 2], [1, 2, 1, 1]], ['with a stride that does not end evenly', [0, 0, 0, 0], [2, 4, 3, 1], [1, 3, 2, 1]], ['backwards', [1, 3, 0, 1], [0, 0, 3, 0], [-1, -2, 1, -1]],
  ['with masks', [0, 1, 1, 0], [0, 3, 0, 1], [1, 1, 1, 1], [1, 5, 0, 0, 8]], ['with an ellipsis and a new axis', [0, 0, 0], [0, 0, 2], [1, 1, 1], [0, 0, 1, 2, 0]],
];

/** Blocks of channels moved, made and taken apart. */
const blocks: readonly (readonly [shape: readonly number[], perm: readonly number[]])[] = [8, 16].flatMap((n) => [
  [[3, n, 5], [0, 2, 1]], [[3, 5, n], [0, 2, 1]], [[n, 7], [1, 0]], [[2, n, 5, n], [0, 2, 1, 3]], [[2, 5, n, n], [0, 2, 1, 3]], [[5, 3, n], [1, 0, 2]], [[3, n, 2, n, 3, 3], [2, 0, 4, 5, 1, 3]], [[3, n, 2, n, 3, 3], [0, 2, 4, 5, 3, 1]],
] as const);

export const layout: readonly Case[] = [
  ...perms.map((perm) => smooth(`transpose ${perm.join('')}`, [float(perm.map((_, i) => (i % 3) + 2))], (x: T) => tf.transpose(x, perm))),
  ...blocks.map(([shape, perm]) => plain(`transpose ${shape.join('x')} to ${perm.join('')}`, [float(shape)], (x: T) => tf.transpose(x, [...perm]))),
  smooth('transpose without an order', [float([2, 3, 4])], (x: T) => tf.transpose(x)),
  smooth('reshape', [float([2, 3, 4])], (x: T) => tf.reshape(x, [4, -1])),
  smooth('expandDims and squeeze', [float([2, 1, 4])], (x: T) => [tf.expandDims(x, 1), tf.squeeze(x, [1])]),
  smooth('concat on axis 0', [float([2, 3]), float([1, 3])], (a: T, b: T) => tf.concat([a, b])),
  smooth('concat on the last axis', [float([2, 3, 2]), float([2, 3, 1]), float([2, 3, 3])], (...x: T[]) => tf.concat(x, -1)),
  plain('concat of int32 and of bool', [int([2, 2], 0, 9), int([2, 3], 0, 9), bool([2, 2])], (a: T, b: T, c: T) => [tf.concat([a, b], 1), tf.concat([c, c], 1)]),
  smooth('stack', [float([2, 3]), float([2, 3])], (a: T, b: T) => [tf.stack([a, b]), tf.stack([a, b], 1), tf.stack([a, b], 2)]),
  smooth('unstack', [float([2, 3, 2])], (x: T) => tf.unstack(x, 1)),
  smooth('unstack, one used', [float([2, 3, 2])], (x: T) => tf.square(tf.unstack(x, 1)[1] as T)),
  smooth('split evenly', [float([2, 6])], (x: T) => tf.split(x, 3, 1)),
  smooth('split unevenly', [float([6, 2])], (x: T) => tf.split(x, [1, 3, 2])),
  smooth('split, one used', [float([6, 2])], (x: T) => tf.square(tf.split(x, [1, 3, 2])[1] as T)),
  smooth('slice', [float(image)], (x: T) => tf.slice(x, [0, 1, 0, 1], [2, 2, 3, 1])),
  smooth('slice to the end', [float([5, 3])], (x: T) => tf.slice(x, [2, 0], [-1, 2])),
  ...slices.map(([what, begin, end, strides, masks = []]) => smooth(`stridedSlice ${what}`, [float(image)], (x: T) => tf.stridedSlice(x, begin, end, strides, ...masks))),
  smooth('pad', [float(image)], (x: T) => tf.pad(x, [[0, 0], [1, 2], [0, 1], [0, 0]], 0.5)),
  plain('pad of int32', [int([2, 3], 0, 9)], (x: T) => tf.pad(x, [[1, 0], [0, 2]], 7)),
  ...(['reflect', 'symmetric'] as const).flatMap((mode) => [
    smooth(`mirrorPad, ${mode}`, [float(image)], (x: T) => tf.mirrorPad(x, [[0, 0], [2, 1], [1, 2], [0, 0]], mode)),
    smooth(`mirrorPad, ${mode}, as far as it goes`, [float([2, 3])], (x: T) => tf.mirrorPad(x, [[1, 1], [2, 2]], mode)),
    smooth(`mirrorPad, ${mode}, on one side`, [float([2, 5])], (x: T) => tf.mirrorPad(x, [[0, 0], [0, 3]], mode)),
  ]),
  ...[[3], [2, 1], [1, 2, 3], [2, 1, 1, 2], [1, 2, 1, 2, 1], [1, 2, 1, 1, 1, 3]].map((reps) => smooth(`tile of rank ${reps.length}`, [float(reps.map((_, i) => (i % 2) + 1))], (x: T) => tf.tile(x, reps))),
  smooth('broadcastTo', [float([3, 1])], (x: T) => tf.broadcastTo(x, [2, 3, 4])),
  smooth('reverse', [float(image)], (x: T) => [tf.reverse(x, 1), tf.reverse(x, [0, -1]), tf.reverse(x)]),
  smooth('flipLeftRight', [float(image)], (x: T) => tf.image.flipLeftRight(x as T4)),
  smooth('depthToSpace', [float([2, 2, 3, 8])], (x: T) => tf.depthToSpace(x as T4, 2)),
  smooth('spaceToBatchND', [float([2, 3, 4, 2])], (x: T) => tf.spaceToBatchND(x, [2, 2], [[1, 0], [0, 0]])),
  smooth('batchToSpaceND', [float([8, 2, 2, 1])], (x: T) => tf.batchToSpaceND(x, [2, 2], [[0, 1], [1, 0]])),
  smooth('diag', [float([4])], (x: T) => tf.diag(x)),
  smooth('bandPart', [float([2, 4, 4])], (x: T) => tf.linalg.bandPart(x, 1, 0)),
  smooth('gather on axis 0', [float([4, 3]), int([5], 0, 4)], (x: T, i: T) => tf.gather(x, i as T1)),
  smooth('gather on a middle axis, indices of rank 2', [float([2, 4, 3]), int([2, 2], 0, 4)], (x: T, i: T) => tf.gather(x, i as tf.Tensor, 1)),
  smooth('gather on the last axis', [float([2, 3, 4]), int([3], 0, 4)], (x: T, i: T) => tf.gather(x, i as T1, -1)),
  smooth('gather by batch', [float([2, 4, 3]), int([2, 3], 0, 4)], (x: T, i: T) => tf.gather(x, i as tf.Tensor, 1, 1)),
  smooth('gather by batch on a later axis', [float([2, 2, 4, 2]), int([2, 3], 0, 4)], (x: T, i: T) => tf.gather(x, i as tf.Tensor, 2, 1)),
  plain('gather of int32', [int([4, 3], 0, 50), int([5], 0, 4)], (x: T, i: T) => tf.gather(x, i as T1)),
  smooth('gatherND', [float([3, 4, 2]), int([2, 3, 2], 0, 3)], (x: T, i: T) => tf.gatherND(x, i)),
  smooth('gatherND of whole elements', [float([3, 4]), int([5, 2], 0, 3)], (x: T, i: T) => tf.gatherND(x, i)),
  smooth('scatterND', [int([5, 1], 0, 4), float([5, 3])], (i: T, x: T) => tf.scatterND(i, x, [4, 3])),
  smooth('scatterND of single elements', [int([6, 2], 0, 3), float([6])], (i: T, x: T) => tf.scatterND(i, x, [3, 3])),
  smooth('tensorScatterUpdate', [float([5, 2]), float([2, 2])], (x: T, u: T) => tf.tensorScatterUpdate(x, tf.tensor2d([[3], [1]], [2, 1], 'int32'), u)),
  smooth('unsortedSegmentSum', [float([6, 2]), int([6], 0, 4)], (x: T, i: T) => tf.unsortedSegmentSum(x, i as T1, 4)),
  plain('oneHot', [int([2, 5], -1, 4)], (x: T) => [tf.oneHot(x, 4), tf.oneHot(x, 3, 2, -1, 'float32'), tf.oneHot(x, 4, 1, 0, 'int32')]),
  plain('sparseToDense', [], () => tf.sparseToDense(tf.tensor1d([1, 4], 'int32'), tf.tensor1d([0.5, 2]), [6], tf.scalar(-1))),
  plain('meshgrid', [float([3]), float([4])], (a: T, b: T) => tf.meshgrid(a, b)),
  plain('unique', [int([9], 0, 4)], (x: T) => { const { values, indices } = tf.unique(x); return [values, indices]; }, { lacks: 'Unique' }),
];
