/** Kernels that move numbers without computing: reshape, transpose, cut, join, repeat. Most of them cost nothing: see graph.ts. */
import * as tf from '../../../tf.ts';
import { type Graph, type Ref, range, sameSizes } from '../graph.ts';
import { type Kernel, type Outline, kernel } from '../registry.ts';
import type { Spec } from '../value.ts';

const like = (x: Spec | undefined, shape: readonly number[]): Outline => ({ shape, dtype: x?.dtype ?? 'float32' });

/** Joins along an axis; empty parts do not count. */
const join = (graph: Graph, xs: readonly Ref[], axis: number): Ref => {
  const filled = xs.filter(({ shape }) => !shape.includes(0));
  return filled.length === 0 ? xs[0] as Ref : graph.concat(filled, axis);
};

const sliceOf = (x: Spec, begin: number | number[], size: number | number[]): [number[], number[]] =>
  tf.slice_util.parseSliceParams({ shape: x.shape as number[], rank: x.shape.length } as tf.Tensor, begin, size) as [number[], number[]];

export const shapes: readonly Kernel[] = [
  kernel<{ shape: number[] }>({
    name: 'Reshape', inputs: ['x'],
    infer: ([x], { shape }) => {
      const [source] = [x as Spec];
      const full = tf.util.inferFromImplicitShape(shape, source.size);
      if (tf.util.sizeFromShape(full) !== source.size) throw new Error(`The new shape (${full}) has ${tf.util.sizeFromShape(full)} elements and the old shape (${source.shape}) has ${source.size} elements. The new shape and old shape must have the same number of elements.`);
      return like(source, full);
    },
    emit: (graph, [x], _attrs, [out]) => graph.reshape(x as Ref, (out as Spec).shape),
  }),
  kernel<{ dim: number }>({
    name: 'ExpandDims', inputs: ['input'],
    infer: ([x], { dim }) => { const shape = [...(x as Spec).shape]; shape.splice(dim < 0 ? shape.length + dim + 1 : dim, 0, 1); return like(x, shape); },
    emit: (graph, [x], _attrs, [out]) => graph.reshape(x as Ref, (out as Spec).shape),
  }),
  kernel<{ perm: number[] }>({
    name: 'Transpose', inputs: ['x'],
    infer: ([x], { perm }) => like(x, perm.map((axis) => (x as Spec).shape[axis] as number)),
    emit: (graph, [x], { perm }) => graph.transpose(x as Ref, perm),
  }),
  kernel<{ begin: number | number[]; size: number | number[] }>({
    name: 'Slice', inputs: ['x'],
    infer: ([x], { begin, size }) => {
      const [from, length] = sliceOf(x as Spec, begin, size);
      tf.slice_util.assertParamsValid({ shape: (x as Spec).shape, rank: (x as Spec).shape.length } as tf.Tensor, from, length);
      return like(x, length);
    },
    emit: (graph, [x], { begin, size }, [out]) => graph.slice(x as Ref, sliceOf({ ...(out as Spec), shape: (x as Ref).shape }, begin, size)[0], (out as Spec).shape),
  }),
  kernel<{ begin: number[]; end: number[]; strides: number[]; beginMask: number; endMask: number; ellipsisMask: number; newAxisMask: number; shrinkAxisMask: number }>({
    name: 'StridedSlice', inputs: ['x'],
    infer: ([x], a) => like(x, tf.slice_util.sliceInfo((x as Spec).shape as number[], a.begin, a.end, a.strides, a.beginMask, a.endMask, a.ellipsisMask, a.newAxisMask, a.shrinkAxisMask).finalShape),
    emit: (graph, [x], a, [out]) => {
      const source = x as Ref;
      const { begin, strides, finalShapeSparse } = tf.slice_util.sliceInfo(source.shape as number[], a.begin, a.end, a.strides, a.beginMask, a.endMask, a.ellipsisMask, a.newAxisMask, a.shrinkAxisMask);
      const { size } = out as Spec;
      if (size === 0) return graph.reshape(graph.slice(source, source.shape.map(() => 0), source.shape.map(() => 0)), (out as Spec).shape);
      // New axes of size 1 appear in the sparse shape only where the source has an axis; counts follow from begin, end and stride.
      const { end } = tf.slice_util.sliceInfo(source.shape as number[], a.begin, a.end, a.strides, a.beginMask, a.endMask, a.ellipsisMask, a.newAxisMask, a.shrinkAxisMask);
      void finalShapeSparse;
      const cut = range(source.shape.length).reduce((part, axis) => {
        const [from, to, stride] = [begin[axis] as number, end[axis] as number, strides[axis] as number];
        const count = Math.max(0, Math.ceil((to - from) / stride));
        return count === part.shape[axis] && stride === 1 ? part : graph.every(part, axis, from, stride, count);
      }, source);
      return graph.reshape(cut, (out as Spec).shape);
    },
  }),
  kernel<{ axis: number }>({
    name: 'Concat', inputs: 'all',
    infer: (xs, { axis }) => {
      const at = tf.util.parseAxisParam(axis, (xs[0] as Spec).shape as number[])[0] as number;
      tf.backend_util.assertParamsConsistent(xs.map(({ shape }) => shape as number[]), at);
      return like(xs[0], tf.backend_util.computeOutShape(xs.map(({ shape }) => shape as number[]), at));
    },
    emit: (graph, xs, { axis }) => join(graph, xs, tf.util.parseAxisParam(axis, (xs[0] as Ref).shape as number[])[0] as number),
  }),
  kernel<{ axis: number }>({
    name: 'Pack', inputs: 'all',
    infer: ([x, ...others], { axis }) => { const shape = [...(x as Spec).shape]; shape.splice(axis < 0 ? shape.length + axis + 1 : axis, 0, others.length + 1); return like(x, shape); },
    emit: (graph, xs, { axis }, [out]) => {
      const { shape } = out as Spec;
      const at = axis < 0 ? shape.length + axis : axis;
      return graph.concat(xs.map((x) => graph.reshape(x, shape.map((n, i) => (i === at ? 1 : n)))), at);
    },
  }),
  kernel<{ axis: number }>({
    name: 'Unpack', inputs: ['value'], list: true,
    infer: ([x], { axis }) => {
      const { shape } = x as Spec;
      const at = axis < 0 ? axis + shape.length : axis;
      return range(shape[at] as number).map(() => like(x, shape.filter((_, i) => i !== at)));
    },
    emit: (graph, [x], { axis }, outs) => {
      const source = x as Ref;
      const at = axis < 0 ? axis + source.shape.length : axis;
      return graph.split(source, outs.map(() => 1), at).map((part) => graph.reshape(part, (outs[0] as Spec).shape));
    },
  }),
  kernel<{ numOrSizeSplits: number | number[]; axis: number }>({
    name: 'SplitV', inputs: ['x'], list: true,
    infer: ([x], { numOrSizeSplits, axis }) => {
      const { shape } = x as Spec;
      const at = tf.util.parseAxisParam(axis, shape as number[])[0] as number;
      return tf.backend_util.prepareSplitSize({ shape } as tf.Tensor, numOrSizeSplits, at).map((size) => like(x, shape.map((n, i) => (i === at ? size : n))));
    },
    emit: (graph, [x], { axis }, outs) => {
      const at = tf.util.parseAxisParam(axis, (x as Ref).shape as number[])[0] as number;
      return graph.split(x as Ref, outs.map(({ shape }) => shape[at] as number), at);
    },
  }),
  kernel<{ paddings: [number, number][]; constantValue: number }>({
    name: 'PadV2', inputs: ['x'],
    infer: ([x], { paddings }) => like(x, (x as Spec).shape.map((n, i) => n + (paddings[i]?.[0] ?? 0) + (paddings[i]?.[1] ?? 0))),
    emit: (graph, [x], { paddings, constantValue }) => graph.pad(x as Ref, paddings, constantValue),
  }),
  kernel<{ reps: number[] }>({
    name: 'Tile', inputs: ['x'],
    infer: ([x], { reps }) => like(x, (x as Spec).shape.map((n, i) => n * (reps[i] ?? 1))),
    emit: (graph, [x], { reps }, [out]) => {
      const source = x as Ref;
      const { shape } = out as Spec;
      // A repeated axis of size 1 is only read more often.
      const spread = graph.broadcast(source, source.shape.map((n, i) => (n === 1 ? shape[i] as number : n)));
      if (sameSizes(spread.shape, shape)) return spread;
      const repeats = spread.shape.map((n, i) => (n === shape[i] ? 1 : reps[i] as number));
      return graph.op('Tile', [spread, graph.constant(repeats, [repeats.length], 'int64')], { shape });
    },
  }),
  kernel<{ shape: number[] }>({
    name: 'BroadcastTo', inputs: ['x'],
    infer: ([x], { shape }) => like(x, shape),
    emit: (graph, [x], { shape }) => graph.broadcast(x as Ref, shape),
  }),
  kernel<{ dims: number | number[] }>({
    name: 'Reverse', inputs: ['x'],
    infer: ([x]) => like(x, (x as Spec).shape),
    emit: (graph, [x], { dims }) => {
      const source = x as Ref;
      return (tf.util.parseAxisParam(dims, source.shape as number[])).reduce((part, axis) => { const n = source.shape[axis] as number; return n < 2 ? part : graph.every(part, axis, n - 1, -1, n); }, source);
    },
  }),
];
