import * as tf from '../../../src/tf.ts';
import { type Case, bool, float, int, once, plain, smooth } from './case.ts';

type T = tf.Tensor;
type Unary = (x: T) => T;

const image = [2, 3, 4, 2] as const;

const unary: readonly (readonly [name: string, f: Unary, low?: number, high?: number])[] = [
  ['abs', tf.abs], ['acos', tf.acos, -0.8, 0.8], ['acosh', tf.acosh, 1.3, 3], ['asin', tf.asin, -0.8, 0.8], ['asinh', tf.asinh, -2, 2], ['atan', tf.atan, -2, 2],
  ['atanh', tf.atanh, -0.8, 0.8], ['cos', tf.cos, -4, 4], ['cosh', tf.cosh, -2, 2], ['elu', tf.elu, -2, 2], ['erf', tf.erf, -2, 2], ['exp', tf.exp, -2, 2],
  ['expm1', tf.expm1, -2, 2], ['leakyRelu', (x) => tf.leakyRelu(x, 0.1)], ['log', tf.log, 0.3, 3], ['log1p', tf.log1p, -0.5, 2], ['logSigmoid', tf.logSigmoid, -4, 4],
  ['neg', tf.neg], ['reciprocal', tf.reciprocal, 0.4, 2], ['relu', tf.relu], ['relu6', (x) => tf.relu6(tf.mul(x, 5.5))], ['rsqrt', tf.rsqrt, 0.3, 2], ['selu', tf.selu, -2, 2],
  ['sigmoid', tf.sigmoid, -5, 5], ['sin', tf.sin, -4, 4], ['sinh', tf.sinh, -2, 2], ['softplus', tf.softplus, -5, 5], ['sqrt', tf.sqrt, 0.3, 3],
  ['square', tf.square], ['tan', tf.tan, -1, 1], ['tanh', tf.tanh, -2, 2], ['clipByValue', (x) => tf.clipByValue(tf.mul(x, 3), -1.11, 2.13)],
];

/** WGSL asks of sine and cosine an absolute error of 2^-11 only, and of the inverse functions 4096 units in the last place of what it derives them from. */
const angles = { relative: 5e-4, why: 'WGSL, section 15.7.4: accuracy of built-in functions' };
const gpuTolerance = (name: string): Partial<Case> => (['sin', 'cos', 'tan', 'acos', 'asin', 'atan'].includes(name) ? { gpuTolerance: angles } : {});

/** Zero derivative, or none. */
const steps: readonly (readonly [name: string, f: Unary])[] = [
  ['ceil', tf.ceil], ['floor', tf.floor], ['round', (x) => tf.round(tf.mul(x, 0.97))], ['sign', tf.sign], ['step', (x) => tf.step(x, 0.25)],
  ['isFinite', (x) => tf.isFinite(tf.div(x, tf.relu(x)))], ['isInf', (x) => tf.isInf(tf.div(x, tf.relu(x)))], ['isNaN', (x) => tf.isNaN(tf.sqrt(x))],
];

type Binary = (a: T, b: T) => T;
const binary: readonly (readonly [name: string, f: Binary, low?: number, high?: number])[] = [
  ['add', tf.add], ['sub', tf.sub], ['mul', tf.mul], ['div', tf.div, 0.4, 2], ['divNoNan', tf.divNoNan, 0.4, 2], ['maximum', tf.maximum], ['minimum', tf.minimum], ['pow', tf.pow, 0.3, 2],
  ['squaredDifference', tf.squaredDifference], ['atan2', tf.atan2, 0.2, 2], ['mod', (a, b) => tf.mod(tf.add(tf.mul(a, 0.1), 2.55), tf.add(tf.mul(b, 0.1), 1)), 0.4, 2], ['prelu', (a, b) => tf.prelu(tf.sub(a, 0.013), tf.broadcastTo(b, a.shape))],
];

const compare: readonly (readonly [name: string, f: Binary])[] = [
  ['equal', tf.equal], ['notEqual', tf.notEqual], ['greater', tf.greater], ['greaterEqual', tf.greaterEqual], ['less', tf.less], ['lessEqual', tf.lessEqual],
];

/** Shapes that broadcast in each of the ways there are. */
const pairs: readonly (readonly [what: string, a: readonly number[], b: readonly number[]])[] = [
  ['same shape', [2, 3, 4], [2, 3, 4]], ['a row', [2, 3, 4], [4]], ['a column against a row', [2, 3, 1], [1, 4]], ['a scalar', [2, 5], []], ['higher rank on the right', [3], [2, 2, 3]],
];
/** Binary ops whose derivative is not defined everywhere are kept off the ties by an offset. */
const apart = (f: Binary): Binary => (a, b) => f(a, tf.add(b, 0.0173));

export const elementwise: readonly Case[] = [
  ...unary.map(([name, f, low, high]) => smooth(name, [float(image, low, high)], f as never, { step: name === 'clipByValue' ? 2e-3 : 1e-2, ...gpuTolerance(name) })),
  ...unary.slice(0, 3).map(([name, f, low, high]) => smooth(`${name} of a scalar`, [float([], low, high)], f as never, { step: 1e-2, ...gpuTolerance(name) })),
  ...steps.map(([name, f]) => once(name, [float(image, -2, 2)], f as never, { by: [] })),
  ...steps.slice(0, 5).map(([name, f]) => once(`${name} has a zero gradient`, [float(image, -2.1, 2.1, 0.02)], ((x: T) => tf.add(f(x), tf.square(x))) as never, { step: 2e-3 })),
  ...['abs', 'neg', 'sign', 'square', 'relu'].map((name) => plain(`${name} of int32`, [int([2, 7], -5, 6)], (x: T) => (tf[name as 'abs'])(x))),
  ...binary.flatMap(([name, f, low, high]) => pairs.filter(([, a, b]) => name !== 'prelu' || (a.length > b.length && a.at(-1) !== 1) || a.length === 3 && a[2] === b[2]).map(([what, a, b]) =>
    smooth(`${name} with ${what}`, [float(a, low, high), float(b, low, high)], (name === 'maximum' || name === 'minimum' ? apart(f) : f) as never, { step: 4e-3 }))),
  ...compare.flatMap(([name, f]) => pairs.map(([what, a, b]) => plain(`${name} with ${what}`, [int(a, 0, 3), int(b, 0, 3)], f as never))),
  ...compare.map(([name, f]) => plain(`${name} of floats`, [float([2, 6]), float([2, 6])], ((a: T, b: T) => f(a, tf.where(tf.greater(a, 0), a, b))) as never)),
  ...compare.map(([name, f]) => once(`${name} decides within a gradient`, [float([2, 6]), float([6])], ((a: T, b: T) => tf.where(f(a, apart((_, y) => y)(a, b)), tf.square(a), tf.mul(a, b))) as never, { step: 2e-3 })),
  ...(['add', 'sub', 'mul', 'floorDiv', 'maximum', 'minimum', 'mod', 'squaredDifference', 'div', 'pow'] as const).map((name) =>
    plain(`${name} of int32`, [int([2, 7], -9, 9), int([2, 1], 1, 5)], ((a: T, b: T) => (tf[name] as Binary)(a, b)) as never)),
  plain('pow of int32 with non-negative exponents', [int([2, 7], -3, 4), int([7], 0, 4)], tf.pow as never),
  plain('mod of negative floats', [float([3, 8], -7, 7), float([3, 8], -3, 3, 0.4)], tf.mod as never),
  plain('floorDiv of floats', [float([2, 7], -7, 7), float([7], 0.7, 2)], tf.floorDiv as never),
  plain('bitwiseAnd', [int([2, 7], 0, 200), int([2, 7], 0, 200)], tf.bitwiseAnd as never),
  plain('logicalAnd', [bool([2, 6]), bool([6])], tf.logicalAnd as never),
  plain('logicalOr', [bool([2, 6]), bool([6])], tf.logicalOr as never),
  plain('logicalXor', [bool([2, 6]), bool([6])], tf.logicalXor as never),
  plain('logicalNot', [bool([2, 6])], tf.logicalNot as never),
  once('logical operations within a gradient', [float([2, 6]), float([6])], ((a: T, b: T) =>
    tf.where(tf.logicalOr(tf.logicalAnd(tf.greater(a, 0), tf.less(b, 0)), tf.logicalNot(tf.greater(a, -0.5))), tf.square(a), tf.mul(a, b))) as never, { step: 2e-3 }),
  smooth('where', [bool([2, 3, 4]), float([2, 3, 4]), float([2, 3, 4])], tf.where as never),
  smooth('where that broadcasts', [bool([3, 1]), float([2, 3, 4]), float([4])], tf.where as never),
  smooth('addN', [float([2, 3]), float([2, 3]), float([2, 3])], ((...x: T[]) => tf.addN(x)) as never),
  smooth('cast to int32 and back', [float([2, 5], -3, 3)], ((x: T) => tf.add(tf.cast(tf.cast(tf.mul(x, 0), 'int32'), 'float32'), x)) as never),
  plain('cast float32 to int32', [float([2, 9], -3, 3)], (x: T) => tf.cast(x, 'int32')),
  plain('cast float32 to bool', [int([2, 9], -1, 2)], (x: T) => tf.cast(tf.cast(x, 'float32'), 'bool')),
  plain('cast int32 to bool', [int([2, 9], -1, 2)], (x: T) => tf.cast(x, 'bool')),
  plain('cast bool to float32', [bool([2, 9])], (x: T) => tf.cast(x, 'float32')),
  plain('cast bool to int32', [bool([2, 9])], (x: T) => tf.cast(x, 'int32')),
  plain('onesLike and zerosLike', [float([2, 3])], (x: T) => [tf.onesLike(x), tf.zerosLike(x), tf.zerosLike(tf.cast(x, 'int32')), tf.onesLike(tf.cast(x, 'bool'))]),
  plain('fill, range, linspace, eye', [], () => [tf.fill([2, 3], 0.3), tf.fill([2], 3, 'int32'), tf.range(0, 7, 2), tf.range(5, 0, -1, 'int32'), tf.linspace(-1, 1, 7), tf.eye(3, 4)]),
  smooth('clone', [float([2, 3])], (x: T) => tf.clone(x)),
];
