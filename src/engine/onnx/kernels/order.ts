/** Kernels that rank, count and accumulate. */
import * as tf from '../../../tf.ts';
import { type Graph, type Ref, range } from '../graph.ts';
import { type Kernel, kernel } from '../registry.ts';
import type { Spec } from '../value.ts';

/**
 * Running products along an axis, in log2(n) doublings: after each, a place holds the product of twice as many before it.
 * ONNX has a running sum, but logarithms know neither zeros nor signs.
 */
const runningProduct = (graph: Graph, x: Ref, axis: number, exclusive: boolean): Ref => {
  const n = x.shape[axis] as number;
  const delayed = (y: Ref, by: number): Ref => {
    const kept = graph.slice(y, y.shape.map(() => 0), y.shape.map((size, i) => (i === axis ? size - by : size)));
    return graph.pad(kept, y.shape.map((_, i): [number, number] => (i === axis ? [by, 0] : [0, 0])), 1);
  };
  let product = exclusive ? delayed(x, 1) : x;
  for (let by = 1; by < n; by *= 2) product = graph.elementwise('Mul', [product, delayed(product, by)]);
  return product;
};

const backwards = (graph: Graph, x: Ref, axis: number): Ref => { const n = x.shape[axis] as number; return n < 2 ? x : graph.every(x, axis, n - 1, -1, n); };

/** How often each of 0..size-1 occurs along the last axis, each time counting `weights` (or 1). */
const counts = (graph: Graph, x: Ref, weights: Ref | undefined, size: number): Ref => {
  const hits = graph.elementwise('Equal', [graph.reshape(graph.cast(x, 'int32'), [...x.shape, 1]), graph.constant(range(size), [size], 'int32')], { type: 'bool' });
  const type = weights?.physical.type ?? 'float32';
  const ones = graph.cast(hits, type);
  return graph.reduce('Sum', weights ? graph.elementwise('Mul', [ones, graph.reshape(weights, [...x.shape, 1])]) : ones, [x.shape.length - 1], false);
};

const given = (weights: Ref): Ref | undefined => (weights.shape.includes(0) ? undefined : weights);

export const orders: readonly Kernel[] = [
  kernel<{ k: number; sorted: boolean }>({
    name: 'TopK', inputs: ['x'],
    infer: ([x], { k }) => { const shape = [...(x as Spec).shape.slice(0, -1), k]; return [{ shape, dtype: (x as Spec).dtype }, { shape, dtype: 'int32' }]; },
    emit: (graph, [x], { k }, [out]) => {
      const { shape } = out as Spec;
      const [values, places] = graph.ops('TopK', [x as Ref, graph.constant([k], [1], 'int64')], [{ shape, type: (x as Ref).physical.type }, { shape, type: 'int64' }], { axis: shape.length - 1 }) as [Ref, Ref];
      return [values, graph.cast(places, 'int32')];
    },
  }),
  kernel<{ axis: number; exclusive: boolean; reverse: boolean }>({
    name: 'Cumprod', inputs: ['x'],
    infer: ([x]) => ({ shape: (x as Spec).shape, dtype: (x as Spec).dtype === 'bool' ? 'int32' : (x as Spec).dtype }),
    emit: (graph, [x], { axis, exclusive, reverse }) => {
      const at = tf.util.parseAxisParam(axis, (x as Ref).shape as number[])[0] as number;
      const source = (x as Ref).physical.type === 'bool' ? graph.cast(x as Ref, 'int32') : x as Ref;
      return reverse ? backwards(graph, runningProduct(graph, backwards(graph, source, at), at, exclusive), at) : runningProduct(graph, source, at, exclusive);
    },
  }),
  kernel<{ size: number }>({
    name: 'Bincount', inputs: ['x', 'weights'],
    infer: ([, weights], { size }) => ({ shape: [size], dtype: (weights as Spec).dtype }),
    emit: (graph, [x, weights], { size }) => graph.cast(counts(graph, x as Ref, given(weights as Ref), size), (weights as Ref).physical.type),
  }),
  kernel<{ size: number; binaryOutput: boolean }>({
    name: 'DenseBincount', inputs: ['x', 'weights'],
    infer: ([x, weights], { size }) => ({ shape: [...(x as Spec).shape.slice(0, -1), size], dtype: (weights as Spec).dtype }),
    emit: (graph, [x, weights], { size, binaryOutput }) => {
      const type = (weights as Ref).physical.type;
      if (!binaryOutput) return graph.cast(counts(graph, x as Ref, given(weights as Ref), size), type);
      return graph.cast(graph.elementwise('Greater', [counts(graph, x as Ref, undefined, size), graph.scalar(0)], { type: 'bool' }), type);
    },
  }),
  kernel<{ side: 'left' | 'right' }>({
    name: 'SearchSorted', inputs: ['sortedSequence', 'values'],
    infer: ([, values]) => ({ shape: (values as Spec).shape, dtype: 'int32' }),
    emit: (graph, [sequence, values], { side }) => {
      const [row, wanted] = [sequence as Ref, values as Ref];
      const before = graph.elementwise(side === 'left' ? 'Less' : 'LessOrEqual', [graph.reshape(row, [row.shape[0] as number, 1, row.shape[1] as number]), graph.reshape(wanted, [...wanted.shape, 1])], { type: 'bool' });
      return graph.reduce('Sum', graph.cast(before, 'int32'), [2], false);
    },
  }),
];
