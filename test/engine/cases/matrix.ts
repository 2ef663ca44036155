import * as tf from '../../../src/tf.ts';
import { type Case, float, smooth } from './case.ts';

type T = tf.Tensor;
const flip = (shape: readonly number[], transposed: boolean): number[] => (transposed ? [...shape.slice(0, -2), shape.at(-1) as number, shape.at(-2) as number] : [...shape]);
const products: readonly (readonly [what: string, a: readonly number[], b: readonly number[]])[] = [
  ['rank 2', [2, 3], [3, 4]], ['a batch', [2, 3, 4], [2, 4, 2]], ['rank 4', [2, 3, 2, 4], [2, 3, 4, 2]], ['a batch against one', [2, 3, 4], [1, 4, 2]], ['one against a batch', [1, 3, 4], [2, 4, 2]],
];
const equations: readonly (readonly [equation: string, ...shapes: (readonly number[])[]])[] = [
  ['ij,jk->ik', [2, 3], [3, 4]], ['bij,bjk->bik', [2, 3, 4], [2, 4, 2]], ['ij->ji', [2, 3]], ['ij->i', [2, 3]], ['ij->', [2, 3]], ['i,i->', [4], [4]], ['i,j->ij', [3], [4]],
  ['bhqd,bhkd->bhqk', [2, 2, 3, 2], [2, 2, 4, 2]], ['bij,jk->bik', [2, 3, 4], [4, 2]], ['bhwc,cd->bhwd', [2, 2, 3, 3], [3, 2]], ['ij,ij->ij', [2, 3], [2, 3]],
];

export const matrix: readonly Case[] = [
  ...products.flatMap(([what, a, b]) => [[false, false], [true, false], [false, true], [true, true]].map(([ta, tb]) =>
    smooth(`matMul of ${what}${ta ? ', a transposed' : ''}${tb ? ', b transposed' : ''}`, [float(flip(a, ta as boolean)), float(flip(b, tb as boolean))], (x: T, y: T) => tf.matMul(x, y, ta, tb)))),
  ...equations.map(([equation, ...shapes]) => smooth(`einsum ${equation}`, shapes.map((shape) => float(shape)), (...x: T[]) => tf.einsum(equation, ...x))),
  smooth('matMul of batches that broadcast', [float([2, 1, 3, 2]), float([1, 3, 2, 2])], (a: T, b: T) => tf.matMul(a, b), {
    oracle: (a, b) => tf.sum(tf.mul(tf.expandDims(a as T, 4), tf.expandDims(b as T, 2)), 3),
  }),
  smooth('einsum that sums an axis of its own', [float([2, 3]), float([4])], (a: T, b: T) => tf.einsum('ij,k->ij', a, b), { oracle: (a, b) => tf.mul(a as T, tf.sum(b as T)) }),
  smooth('dot', [float([2, 3]), float([3, 2])], (a: T, b: T) => tf.dot(a, b)),
  smooth('outerProduct', [float([3]), float([4])], (a: T, b: T) => tf.outerProduct(a as tf.Tensor1D, b as tf.Tensor1D)),
  smooth('gramSchmidt', [float([2, 3])], (x: T) => tf.linalg.gramSchmidt(x as tf.Tensor2D), { step: 1e-2 }),
  smooth('fused matMul with bias and relu', [float([2, 3]), float([3, 4]), float([4])], (a: T, b: T, c: T) => tf.fused.matMul({ a: a as tf.Tensor2D, b: b as tf.Tensor2D, bias: c, activation: 'relu' }), { twice: false, step: 1e-3 }),
];
