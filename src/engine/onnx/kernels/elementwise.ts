/** Kernels that work number by number: arithmetic, comparisons, choices, conversions. Layouts pass through all of them. */
import * as tf from '../../../tf.ts';
import { type Graph, type Ref, broadcastShapes } from '../graph.ts';
import type { ElementType } from '../proto.ts';
import { type Kernel, kernel } from '../registry.ts';
import type { Dtype } from '../value.ts';

type Unary = (graph: Graph, x: Ref, attrs: Readonly<Record<string, number>>) => Ref;
type Binary = (graph: Graph, a: Ref, b: Ref) => Ref;

const typeOf = (x: Ref): ElementType => x.physical.type;
const number = (graph: Graph, like: Ref, value: number): Ref => graph.scalar(value, typeOf(like));

/** Runs arithmetic that ONNX has no booleans for in int32. */
const asNumbers = (graph: Graph, xs: readonly Ref[], f: (...xs: Ref[]) => Ref): Ref =>
  ((xs[0] as Ref).physical.type === 'bool' ? graph.cast(f(...xs.map((x) => graph.cast(x, 'int32'))), 'bool') : f(...xs));

const plainly = (op: string): Unary => (graph, x) => graph.unary(op, x);

/** sign(x) of the reference is what the comparison says, so that a pre-activation is not needed beside its rectified value. */
const step: Unary = (graph, x, { alpha = 0 }) => {
  const positive = graph.elementwise('Greater', [graph.rectified(x) ?? x, number(graph, x, 0)], { type: 'bool' });
  return alpha === 0 ? graph.cast(positive, typeOf(x)) : graph.elementwise('Where', [positive, number(graph, x, 1), number(graph, x, alpha)]);
};

const unaries: Readonly<Record<string, Unary>> = {
  Abs: plainly('Abs'), Acos: plainly('Acos'), Acosh: plainly('Acosh'), Asin: plainly('Asin'), Asinh: plainly('Asinh'), Atan: plainly('Atan'), Atanh: plainly('Atanh'), Ceil: plainly('Ceil'),
  Cos: plainly('Cos'), Cosh: plainly('Cosh'), Erf: plainly('Erf'), Exp: plainly('Exp'), Floor: plainly('Floor'), Log: plainly('Log'), Neg: plainly('Neg'), Reciprocal: plainly('Reciprocal'),
  Relu: plainly('Relu'), Round: plainly('Round'), Sigmoid: plainly('Sigmoid'), Sign: plainly('Sign'), Sin: plainly('Sin'), Sinh: plainly('Sinh'), Softplus: plainly('Softplus'), Sqrt: plainly('Sqrt'),
  Tan: plainly('Tan'), Tanh: plainly('Tanh'), Elu: plainly('Elu'),
  Selu: (graph, x) => graph.unary('Selu', x, { attributes: { alpha: { float: tf.backend_util.SELU_SCALEALPHA / tf.backend_util.SELU_SCALE }, gamma: { float: tf.backend_util.SELU_SCALE } } }),
  LeakyRelu: (graph, x, { alpha = 0.2 }) => graph.unary('LeakyRelu', x, { attributes: { alpha: { float: alpha } } }),
  Relu6: (graph, x) => graph.elementwise('Min', [graph.unary('Relu', x), number(graph, x, 6)]),
  ClipByValue: (graph, x, { clipValueMin, clipValueMax }) =>
    graph.elementwise('Min', [graph.elementwise('Max', [x, number(graph, x, clipValueMin as number)]), number(graph, x, clipValueMax as number)]),
  Square: (graph, x) => graph.elementwise('Mul', [x, x]),
  Rsqrt: (graph, x) => graph.unary('Reciprocal', graph.unary('Sqrt', x)),
  Step: step,
  // log(1 + x) and exp(x) - 1 without the cancellation near 0 (Kahan): x * log(u) / (u - 1) with u = 1 + x rounded, and the like.
  Log1p: (graph, x) => {
    const one = number(graph, x, 1);
    const u = graph.elementwise('Add', [x, one]);
    const flat = graph.elementwise('Equal', [u, one], { type: 'bool' });
    return graph.elementwise('Where', [flat, x, graph.elementwise('Mul', [graph.unary('Log', u), graph.elementwise('Div', [x, graph.elementwise('Sub', [u, one])])])]);
  },
  Expm1: (graph, x) => {
    const one = number(graph, x, 1);
    const u = graph.unary('Exp', x);
    const less = graph.elementwise('Sub', [u, one]);
    const near = graph.elementwise('Less', [graph.unary('Abs', x), number(graph, x, 0.5)], { type: 'bool' });
    const flat = graph.elementwise('Equal', [u, one], { type: 'bool' });
    const mended = graph.elementwise('Where', [flat, x, graph.elementwise('Mul', [less, graph.elementwise('Div', [x, graph.unary('Log', u)])])]);
    return graph.elementwise('Where', [near, mended, less]);
  },
};

const tests: Readonly<Record<string, Unary>> = {
  IsNan: (graph, x) => graph.unary('IsNaN', x, { type: 'bool' }),
  IsInf: (graph, x) => graph.elementwise('Equal', [graph.unary('Abs', x), number(graph, x, Infinity)], { type: 'bool' }),
  IsFinite: (graph, x) => graph.elementwise('Less', [graph.unary('Abs', x), number(graph, x, Infinity)], { type: 'bool' }),
  LogicalNot: (graph, x) => graph.unary('Not', x),
};

const arithmetic = (op: string): Binary => (graph, a, b) => asNumbers(graph, [a, b], (x, y) => graph.elementwise(op, [x as Ref, y as Ref]));

/** Remainder with the sign of the divisor, as Python has it. */
const mod: Binary = (graph, a, b) => {
  if (typeOf(a) !== 'float32') return graph.elementwise('Mod', [a, b]);
  const fmod = (x: Ref): Ref => graph.elementwise('Mod', [x, b], { attributes: { fmod: 1 } });
  const remainder = fmod(a);
  const zero = number(graph, a, 0);
  const differ = graph.elementwise('Xor', [graph.elementwise('Less', [a, zero], { type: 'bool' }), graph.elementwise('Less', [b, zero], { type: 'bool' })]);
  return graph.elementwise('Where', [differ, fmod(graph.elementwise('Add', [remainder, b])), remainder]);
};

const sumOf = (op: 'Add' | 'Sub'): Binary => (graph, a, b) => {
  if (graph.constantOf(b) === 0 && sameAs(a, b)) return a;
  if (op === 'Add' && graph.constantOf(a) === 0 && sameAs(b, a)) return b;
  return arithmetic(op)(graph, a, b);
};

/** Where both operands would be broadcast, the first in full: WebGPU's power knows no broadcast of both. */
const broadcast = (graph: Graph, a: Ref, b: Ref): Ref => (sameAs(a, b) || sameAs(b, a) ? a : graph.settled(graph.broadcast(a, broadcastShapes(a.shape, b.shape))));

/** Whether broadcasting against `other` leaves x's shape alone. */
const sameAs = (x: Ref, other: Ref): boolean => broadcastShapes(x.shape, other.shape).every((n, i) => n === x.shape[i]) && x.shape.length >= other.shape.length;

const binaries: Readonly<Record<string, Binary>> = {
  Add: sumOf('Add'), Sub: sumOf('Sub'), Maximum: arithmetic('Max'), Minimum: arithmetic('Min'), Pow: (graph, a, b) => (graph.constantOf(b) === 2 && typeOf(a) === 'float32' && sameAs(a, b) ? graph.elementwise('Mul', [a, a]) : arithmetic('Pow')(graph, broadcast(graph, a, b), b)),
  Multiply: (graph, a, b) => {
    if (graph.constantOf(b) === 1) return graph.broadcast(a, broadcastShapes(a.shape, b.shape));
    if (graph.constantOf(a) === 1) return graph.broadcast(b, broadcastShapes(a.shape, b.shape));
    return arithmetic('Mul')(graph, a, b);
  },
  RealDiv: (graph, a, b) => {
    const divisor = graph.constantOf(b);
    if (divisor === 1) return graph.broadcast(a, broadcastShapes(a.shape, b.shape));
    // A power of two divides exactly as its reciprocal multiplies, and multiplying is faster.
    const exact = divisor !== undefined && divisor !== 0 && Number.isInteger(Math.log2(Math.abs(divisor))) && Math.abs(Math.log2(Math.abs(divisor))) < 100;
    return exact ? graph.elementwise('Mul', [a, graph.scalar(1 / divisor)]) : graph.elementwise('Div', [a, b]);
  },
  Mod: mod,
  SquaredDifference: (graph, a, b) => { const d = arithmetic('Sub')(graph, a, b); return graph.elementwise('Mul', [d, d]); },
  Prelu: (graph, x, alpha) => graph.elementwise('Where', [graph.elementwise('Less', [x, number(graph, x, 0)], { type: 'bool' }), graph.elementwise('Mul', [x, alpha]), x]),
};

const floorDiv: Binary = (graph, a, b) => (typeOf(a) === 'int32'
  ? graph.elementwise('Div', [graph.elementwise('Sub', [a, graph.elementwise('Mod', [a, b])]), b])
  : graph.cast(graph.unary('Floor', graph.elementwise('Div', [a, b])), 'int32'));

const comparison = (op: string): Binary => (graph, a, b) => asComparable(graph, a, b, (x, y) => graph.elementwise(op, [x, y], { type: 'bool' }));
const asComparable = (graph: Graph, a: Ref, b: Ref, f: Binary extends never ? never : (x: Ref, y: Ref) => Ref): Ref =>
  (typeOf(a) === 'bool' ? f(graph.cast(a, 'int32'), graph.cast(b, 'int32')) : f(a, b));

const comparisons: Readonly<Record<string, Binary>> = {
  Equal: comparison('Equal'), Greater: comparison('Greater'), GreaterEqual: comparison('GreaterOrEqual'), Less: comparison('Less'), LessEqual: comparison('LessOrEqual'),
  NotEqual: (graph, a, b) => graph.unary('Not', comparison('Equal')(graph, a, b)),
  LogicalAnd: (graph, a, b) => graph.elementwise('And', [a, b]), LogicalOr: (graph, a, b) => graph.elementwise('Or', [a, b]), LogicalXor: (graph, a, b) => graph.elementwise('Xor', [a, b]),
};

const unary = (name: string, emit: Unary, dtype?: Dtype): Kernel => kernel<Readonly<Record<string, number>>>({
  name, inputs: ['x'],
  infer: ([x]) => ({ shape: x?.shape ?? [], dtype: dtype ?? x?.dtype ?? 'float32' }),
  emit: (graph, [x], attrs) => emit(graph, x as Ref, attrs),
});

const binary = (name: string, emit: Binary, dtype?: Dtype, inputs: readonly string[] = ['a', 'b']): Kernel => kernel({
  name, inputs,
  infer: ([a, b]) => ({ shape: broadcastShapes(a?.shape ?? [], b?.shape ?? []), dtype: dtype ?? a?.dtype ?? 'float32' }),
  emit: (graph, [a, b]) => emit(graph, a as Ref, b as Ref),
});

export const elementwise: readonly Kernel[] = [
  ...Object.entries(unaries).map(([name, emit]) => unary(name, emit)),
  ...Object.entries(tests).map(([name, emit]) => unary(name, emit, 'bool')),
  ...Object.entries(binaries).map(([name, emit]) => binary(name, emit, undefined, name === 'Prelu' ? ['x', 'alpha'] : undefined)),
  ...Object.entries(comparisons).map(([name, emit]) => binary(name, emit, 'bool')),
  binary('FloorDiv', floorDiv, 'int32'),
  // dy * (y >= 0 ? 1 : y + 1)
  binary('EluGrad', (graph, dy, y) => graph.elementwise('Mul', [dy, graph.elementwise('Min', [graph.elementwise('Add', [y, number(graph, y, 1)]), number(graph, y, 1)])]), undefined, ['dy', 'y']),
  kernel({
    name: 'AddN', inputs: 'all',
    infer: ([first]) => ({ shape: first?.shape ?? [], dtype: first?.dtype ?? 'float32' }),
    emit: (graph, xs) => xs.reduce((a, b) => graph.elementwise('Add', [a, b])),
  }),
  kernel<{ dtype: Dtype }>({
    name: 'Cast', inputs: ['x'],
    infer: ([x], { dtype }) => ({ shape: x?.shape ?? [], dtype }),
    emit: (graph, [x], { dtype }) => graph.cast(x as Ref, dtype as ElementType),
  }),
  kernel({
    name: 'Select', inputs: ['condition', 't', 'e'],
    infer: ([, t]) => ({ shape: t?.shape ?? [], dtype: t?.dtype ?? 'float32' }),
    emit: (graph, [condition, t, e]) => {
      const [c, a, b] = [condition, t, e] as [Ref, Ref, Ref];
      // A condition of one axis chooses among the rows of what it chooses from.
      const rows = c.shape.length === 1 && a.shape.length > 1 ? graph.reshape(c, [c.shape[0] as number, ...Array<number>(a.shape.length - 1).fill(1)]) : c;
      if (typeOf(a) !== 'bool') return graph.choose(rows, a, b);
      return graph.elementwise('Or', [graph.elementwise('And', [rows, a]), graph.elementwise('And', [graph.unary('Not', rows), b])]);
    },
  }),
];
