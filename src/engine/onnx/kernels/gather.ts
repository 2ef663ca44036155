/** Kernels that read or write at indices. */
import * as tf from '../../../tf.ts';
import type { Ref } from '../graph.ts';
import { type Kernel, kernel } from '../registry.ts';
import type { Spec } from '../value.ts';

export const gathers: readonly Kernel[] = [
  kernel<{ axis: number; batchDims: number }>({
    name: 'GatherV2', inputs: ['x', 'indices'],
    infer: ([x, indices], { axis, batchDims = 0 }) => {
      const [source, places] = [x as Spec, indices as Spec];
      const at = tf.util.parseAxisParam(axis, source.shape as number[])[0] as number;
      return { shape: [...source.shape.slice(0, at), ...places.shape.slice(batchDims), ...source.shape.slice(at + 1)], dtype: source.dtype };
    },
    emit: (graph, [x, indices], { axis, batchDims = 0 }, [out]) => {
      const [source, places] = [x as Ref, indices as Ref];
      const at = tf.util.parseAxisParam(axis, source.shape as number[])[0] as number;
      const { shape } = out as Spec;
      if (batchDims === 0) return graph.op('Gather', [source, places], { attributes: { axis: at }, shape });
      // Batch axes come first: count rows through all of them.
      const batches = source.shape.slice(0, batchDims).reduce((a, b) => a * b, 1);
      const before = source.shape.slice(batchDims, at);
      const rest = source.shape.slice(at + 1);
      const size = source.shape[at] as number;
      const moved = [...before.map((_, i) => batchDims + i)];
      const front = graph.transpose(source, [...source.shape.slice(0, batchDims).map((_, i) => i), at, ...moved, ...rest.map((_, i) => at + 1 + i)]);
      const flat = graph.reshape(front, [batches * size, ...before, ...rest]);
      const offsets = graph.constant(Int32Array.from({ length: batches }, (_, i) => i * size), [batches, 1], 'int32');
      const rows = graph.elementwise('Add', [graph.reshape(graph.cast(places, 'int32'), [batches, -1 * -places.shape.slice(batchDims).reduce((a, b) => a * b, 1)]), offsets]);
      const picked = graph.op('Gather', [flat, rows], { attributes: { axis: 0 }, shape: [...rows.shape, ...before, ...rest] });
      const grouped = graph.reshape(picked, [...source.shape.slice(0, batchDims), ...places.shape.slice(batchDims), ...before, ...rest]);
      const [b, k, m] = [batchDims, places.shape.length - batchDims, before.length];
      const order = [...Array.from({ length: b }, (_, i) => i), ...Array.from({ length: m }, (_, i) => b + k + i), ...Array.from({ length: k }, (_, i) => b + i), ...rest.map((_, i) => b + k + m + i)];
      return graph.reshape(graph.transpose(grouped, order), shape);
    },
  }),
  kernel({
    name: 'GatherNd', inputs: ['params', 'indices'],
    infer: ([x, indices]) => { const [source, places] = [x as Spec, indices as Spec]; return { shape: [...places.shape.slice(0, -1), ...source.shape.slice(places.shape.at(-1))], dtype: source.dtype }; },
    emit: (graph, [x, indices], _attrs, [out]) => graph.op('GatherND', [x, graph.cast(indices as Ref, 'int64')], { shape: (out as Spec).shape }),
  }),
  kernel<{ shape: number[] }>({
    name: 'ScatterNd', inputs: ['indices', 'updates'],
    infer: ([, updates], { shape }) => ({ shape, dtype: (updates as Spec).dtype }),
    emit: (graph, [indices, updates], { shape }) => {
      const zeros = graph.broadcast(graph.scalar(0, (updates as Ref).physical.type), shape);
      return graph.op('ScatterND', [zeros, graph.cast(indices as Ref, 'int64'), updates], { attributes: { reduction: 'add' } });
    },
  }),
  kernel<{ numSegments: number }>({
    name: 'UnsortedSegmentSum', inputs: ['x', 'segmentIds'],
    infer: ([x, ids], { numSegments }) => ({ shape: [numSegments, ...(x as Spec).shape.slice((ids as Spec).shape.length)], dtype: (x as Spec).dtype }),
    emit: (graph, [x, ids], _attrs, [out]) => {
      const [source, segments] = [x as Ref, ids as Ref];
      const { shape } = out as Spec;
      // Ids below zero are dropped: they are sent to a row that is cut off.
      const row = graph.elementwise('Where', [graph.elementwise('Less', [segments, graph.scalar(0, 'int32')], { type: 'bool' }), graph.scalar(shape[0] as number, 'int32'), segments]);
      const zeros = graph.broadcast(graph.scalar(0, source.physical.type), [(shape[0] as number) + 1, ...shape.slice(1)]);
      const sums = graph.op('ScatterND', [zeros, graph.reshape(graph.cast(row, 'int64'), [...segments.shape, 1]), source], { attributes: { reduction: 'add' } });
      return graph.slice(sums, shape.map(() => 0), shape);
    },
  }),
];
