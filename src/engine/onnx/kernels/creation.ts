/** Kernels that make values: constants, ranges, copies, complex pairs. */
import * as tf from '../../../tf.ts';
import type { Ref } from '../graph.ts';
import { type Kernel, type Shortcut, kernel, shortcut } from '../registry.ts';
import type { Dtype, Spec, Value } from '../value.ts';

const filled = (name: string, value: number): Kernel => kernel({
  name, inputs: ['x'],
  infer: ([x]) => ({ shape: (x as Spec).shape, dtype: (x as Spec).dtype }),
  emit: (graph, [x], _attrs, [out]) => graph.broadcast(graph.scalar(value, (x as Ref).physical.type), (out as Spec).shape),
});

/** `Fill` with its number as an input, so that a number that changes from step to step is no new structure. */
const fill = kernel<{ shape: number[] }>({
  name: 'Fill', inputs: ['value'],
  infer: ([value], { shape }) => ({ shape, dtype: (value as Spec).dtype }),
  emit: (graph, [value], { shape }) => graph.broadcast(value as Ref, shape),
});

export const creations: readonly Kernel[] = [
  filled('ZerosLike', 0), filled('OnesLike', 1),
  kernel<{ depth: number; onValue: number; offValue: number; dtype?: Dtype }>({
    name: 'OneHot', inputs: ['indices'],
    infer: ([x], { depth, dtype = 'int32' }) => ({ shape: [...(x as Spec).shape, depth], dtype }),
    emit: (graph, [x], { depth, onValue, offValue, dtype = 'int32' }) => {
      const index = graph.cast(graph.reshape(x as Ref, [...(x as Ref).shape, 1]), 'int32');
      const hit = graph.elementwise('Equal', [index, graph.constant(Int32Array.from({ length: depth }, (_, i) => i), [depth], 'int32')], { type: 'bool' });
      if (dtype === 'bool') return hit;
      if (onValue === 1 && offValue === 0) return graph.cast(hit, dtype as 'float32');
      return graph.elementwise('Where', [hit, graph.scalar(onValue, dtype as 'float32'), graph.scalar(offValue, dtype as 'float32')]);
    },
  }),
];

const series = (name: string, values: (attrs: never) => ArrayLike<number>, dtype: (attrs: Readonly<Record<string, unknown>>) => Dtype): Shortcut => shortcut<Readonly<Record<string, unknown>>>({
  name, inputs: [],
  run: (backend, _inputs, attrs) => { const numbers = values(attrs as never); return backend.written(numbers, [numbers.length], dtype(attrs), name); },
});

export const shortcuts: readonly Shortcut[] = [
  shortcut({
    name: 'Identity', inputs: ['x'],
    run: (backend, [x]) => { backend.incRef(x as Value); return x as Value; },
  }),
  shortcut<{ shape: number[]; value: number; dtype?: Dtype }>({
    name: 'Fill', inputs: [],
    run: (backend, _inputs, { shape, value, dtype = 'float32' }) => {
      const number = backend.written([value], [], dtype, 'Fill');
      const [out] = backend.record(fill, [number], { shape });
      backend.disposeData(number);
      return out as Value;
    },
  }),
  series('Range', ({ start, stop, step, dtype }: { start: number; stop: number; step: number; dtype: 'float32' | 'int32' }) => {
    const count = Math.max(0, Math.ceil((stop - start) / step));
    return tf.util.makeZerosTypedArray(count, dtype).map((_, i) => start + i * step);
  }, ({ dtype }) => dtype as Dtype),
  series('LinSpace', ({ start, stop, num }: { start: number; stop: number; num: number }) =>
    Float32Array.from({ length: num }, (_, i) => (num === 1 ? start : start + (i * (stop - start)) / (num - 1))), () => 'float32'),
  shortcut({
    name: 'Complex', inputs: ['real', 'imag'],
    run: (backend, [real, imag]) => backend.paired(real as Value, imag as Value),
  }),
  ...(['Real', 'Imag'] as const).map((name, i) => shortcut({
    name, inputs: ['input'],
    run: (backend, [x]) => {
      const part = (x as Value).parts?.[i];
      if (!part) throw new Error(`${name}: expected a complex64 tensor but received ${(x as Value).spec.dtype}`);
      backend.incRef(part);
      return part;
    },
  })),
];
