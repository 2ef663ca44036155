/**
 * Complex numbers: a complex value is a pair of real ones, and a kernel on complex values is kernels on their parts. Fourier transforms are matrix products.
 */
import type { OnnxBackend } from '../backend.ts';
import { type Graph, type Ref, range } from '../graph.ts';
import { type Attrs, type Kernel, type Shortcut, kernel, shortcut } from '../registry.ts';
import type { Dtype, Spec, Value } from '../value.ts';
import { creations } from './creation.ts';
import { elementwise } from './elementwise.ts';

const named = (name: string): Kernel => [...elementwise, ...creations].find((candidate) => candidate.name === name) as Kernel;
const [multiply, add, subtract, squareRoot, cast, zerosLike] = ['Multiply', 'Add', 'Sub', 'Sqrt', 'Cast', 'ZerosLike'].map(named) as [Kernel, Kernel, Kernel, Kernel, Kernel, Kernel];

const part = (value: Value | undefined, which: 0 | 1): Value | undefined => value?.parts?.[which] ?? value;
const isComplex = (value: Value): boolean => value.parts !== undefined;

/** Joins two parts that nothing else owns. */
const joined = (backend: OnnxBackend, real: Value, imag: Value): Value => {
  const value = backend.paired(real, imag);
  backend.disposeData(real);
  backend.disposeData(imag);
  return value;
};

/** Computes with values that are freed once what `compute` returns has been recorded. */
const scratch = (backend: OnnxBackend) => {
  const made: Value[] = [];
  return {
    run: (k: Kernel, inputs: readonly Value[], attrs: Attrs = {}): Value => { const [value] = backend.record(k, inputs, attrs) as [Value]; made.push(value); return value; },
    keep: (value: Value): Value => { made.splice(made.indexOf(value), 1); return value; },
    free: (): void => { for (const value of made) backend.disposeData(value); },
  };
};

/** Kernels that do the same to both parts. */
const partwise = new Set([
  'Reshape', 'ExpandDims', 'Transpose', 'Slice', 'StridedSlice', 'Concat', 'Pack', 'Unpack', 'SplitV', 'Reverse', 'Tile', 'BroadcastTo', 'GatherV2', 'GatherNd', 'Sum', 'Mean', 'Neg', 'ZerosLike',
  'Add', 'Sub', 'AddN', 'FlipLeftRight', 'PadV2',
]);

/** Carries out a kernel on complex values, or returns nothing where it has no meaning for them. */
export const onComplex = (backend: OnnxBackend, of: Kernel, inputs: readonly (Value | undefined)[], attrs: Attrs): Value[] | undefined => {
  const { name } = of;
  if (partwise.has(name)) {
    const [reals, imags] = [backend.record(of, inputs.map((x) => part(x, 0)), attrs), backend.record(of, inputs.map((x) => part(x, 1)), name === 'PadV2' ? { ...attrs, constantValue: 0 } : attrs)];
    return reals.map((real, i) => joined(backend, real, imags[i] as Value));
  }
  if (name !== 'Multiply' || !inputs.every((x) => x && isComplex(x))) return undefined;
  const [[a, b], [c, d]] = inputs.map((x) => (x as Value).parts) as [readonly [Value, Value], readonly [Value, Value]];
  const { run, keep, free } = scratch(backend);
  const real = keep(run(subtract, [run(multiply, [a, c]), run(multiply, [b, d])]));
  const imag = keep(run(add, [run(multiply, [a, d]), run(multiply, [b, c])]));
  free();
  return [joined(backend, real, imag)];
};

/** Up to this length a transform is one product with the whole matrix; longer ones are divided where their length can be. */
const direct = 96;

/** Multiplies [..., 2 n] = [real, imaginary] by the matrix of exp(sign 2 pi i j k / n). */
const byMatrix = (graph: Graph, x: Ref, n: number, sign: number): Ref => {
  const matrix = new Float32Array(4 * n * n);
  for (let j = 0; j < n; j++) for (let k = 0; k < n; k++) {
    const angle = sign * 2 * Math.PI * ((j * k) % n) / n;
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    matrix[j * 2 * n + k] = cos;
    matrix[j * 2 * n + n + k] = sin;
    matrix[(n + j) * 2 * n + k] = -sin;
    matrix[(n + j) * 2 * n + n + k] = cos;
  }
  const rows = x.shape.slice(0, -1).reduce((a, b) => a * b, 1);
  return graph.reshape(graph.matMul(graph.reshape(x, [rows, 2 * n]), graph.constant(matrix, [2 * n, 2 * n], 'float32')), x.shape);
};

type Pair = readonly [Ref, Ref];

/** The transform of the last axis of two parts. @source Cooley and Tukey 1965 */
const transform = (graph: Graph, [re, im]: Pair, sign: number): Pair => {
  const [rows, n] = re.shape as [number, number];
  const n1 = n <= direct ? 1 : range(Math.floor(Math.sqrt(n))).map((i) => i + 1).filter((i) => n % i === 0).at(-1) as number;
  if (n1 === 1) return graph.split(byMatrix(graph, graph.concat([re, im], 1), n, sign), [n, n], 1) as unknown as Pair;
  // j = j1 n2 + j2 and k = k1 + n1 k2: transforms over j1, a turn by exp(sign 2 pi i j2 k1 / n), transforms over j2.
  const n2 = n / n1;
  const apart = (x: Ref, outer: number, inner: number): Ref => graph.reshape(graph.transpose(graph.reshape(x, [rows, outer, inner]), [0, 2, 1]), [rows * inner, outer]);
  const [firstRe, firstIm] = transform(graph, [apart(re, n1, n2), apart(im, n1, n2)], sign).map((x) => graph.reshape(x, [rows, n2, n1])) as unknown as Pair;
  const angles = range(n).map((i) => sign * 2 * Math.PI * Math.floor(i / n1) * (i % n1) / n);
  const [cos, sin] = [Math.cos, Math.sin].map((f) => graph.constant(Float32Array.from(angles, f), [n2, n1], 'float32')) as unknown as Pair;
  const times = (a: Ref, b: Ref): Ref => graph.elementwise('Mul', [a, b]);
  const turned: Pair = [graph.elementwise('Sub', [times(firstRe, cos), times(firstIm, sin)]), graph.elementwise('Add', [times(firstRe, sin), times(firstIm, cos)])];
  const second = transform(graph, turned.map((x) => apart(x, n2, n1)) as unknown as Pair, sign);
  return second.map((x) => graph.reshape(graph.transpose(graph.reshape(x, [rows, n1, n2]), [0, 2, 1]), [rows, n])) as unknown as Pair;
};

const fourier = kernel<{ inverse: boolean }>({
  name: 'FourierTransform', inputs: ['real', 'imag'], list: true,
  infer: ([real]) => { const { shape } = real as Spec; return [{ shape, dtype: 'float32' }, { shape, dtype: 'float32' }]; },
  emit: (graph, [re, im], { inverse }) => {
    const shape = (re as Ref).shape;
    const n = shape.at(-1) as number;
    const flat = (x: Ref): Ref => graph.reshape(x, [shape.slice(0, -1).reduce((a, b) => a * b, 1), n]);
    const out = transform(graph, [flat(re as Ref), flat(im as Ref)], inverse ? 1 : -1);
    return out.map((x) => graph.reshape(inverse ? graph.elementwise('Mul', [x, graph.scalar(1 / n)]) : x, shape));
  },
});

const fft = (name: string, inverse: boolean): Shortcut => shortcut({
  name, inputs: ['input'],
  run: (backend, [x]) => {
    const { parts } = x as Value;
    if (!parts) throw new Error(`${name}: expected a complex64 tensor but received ${(x as Value).spec.dtype}`);
    const [real, imag] = backend.record(fourier, parts, { inverse }) as [Value, Value];
    return joined(backend, real, imag);
  },
});

export const complexShortcuts: readonly Shortcut[] = [
  fft('FFT', false), fft('IFFT', true),
  shortcut({
    name: 'ComplexAbs', inputs: ['x'],
    run: (backend, [x]) => {
      const [real, imag] = (x as Value).parts as readonly [Value, Value];
      const { run, keep, free } = scratch(backend);
      const size = keep(run(squareRoot, [run(add, [run(multiply, [real, real]), run(multiply, [imag, imag])])]));
      free();
      return size;
    },
  }),
  shortcut<{ dtype: Dtype }>({
    name: 'Cast', inputs: ['x'],
    run: (backend, [given], { dtype }) => {
      const x = given as Value;
      if (dtype === 'complex64') {
        if (isComplex(x)) { backend.incRef(x); return x; }
        const real = backend.record(cast, [x], { dtype: 'float32' })[0] as Value;
        return joined(backend, real, backend.record(zerosLike, [real], {})[0] as Value);
      }
      return backend.record(cast, [part(x, 0) as Value], { dtype })[0] as Value;
    },
  }),
];
