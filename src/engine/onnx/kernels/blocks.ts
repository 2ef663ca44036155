/** Kernels that rearrange blocks, mirror borders or write at indices. */
import { type Graph, type Ref } from '../graph.ts';
import { type Kernel, kernel } from '../registry.ts';
import type { Spec } from '../value.ts';

const sizeOf = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);

/** Mirrors one axis outwards. @param edge 1 leaves the border itself out, 0 repeats it */
const mirror = (graph: Graph, x: Ref, axis: number, [before, after]: readonly [number, number], edge: number): Ref => {
  const n = x.shape[axis] as number;
  const back = (start: number, count: number): Ref => graph.every(x, axis, start, -1, count);
  return graph.concat([...(before > 0 ? [back(before - 1 + edge, before)] : []), x, ...(after > 0 ? [back(n - 1 - edge, after)] : [])], axis);
};

type Blocks = Readonly<{ blockShape: number[]; paddings: [number, number][]; crops: [number, number][] }>;

export const blocks: readonly Kernel[] = [
  kernel<{ paddings: [number, number][]; mode: 'reflect' | 'symmetric' }>({
    name: 'MirrorPad', inputs: ['x'],
    infer: ([x], { paddings }) => ({ shape: (x as Spec).shape.map((n, i) => n + (paddings[i]?.[0] ?? 0) + (paddings[i]?.[1] ?? 0)), dtype: (x as Spec).dtype }),
    emit: (graph, [x], { paddings, mode }) => paddings.reduce((image, pads, axis) => mirror(graph, image, axis, pads, mode === 'reflect' ? 1 : 0), x as Ref),
  }),
  kernel<{ blockSize: number; dataFormat: 'NHWC' | 'NCHW' }>({
    name: 'DepthToSpace', inputs: ['x'],
    infer: ([x], { blockSize: s, dataFormat }) => {
      const [a, b, c, d] = (x as Spec).shape as [number, number, number, number];
      return { shape: dataFormat === 'NHWC' ? [a, b * s, c * s, d / (s * s)] : [a, b / (s * s), c * s, d * s], dtype: (x as Spec).dtype };
    },
    emit: (graph, [x], { blockSize: s, dataFormat }, [out]) => {
      const [a, b, c, d] = (x as Ref).shape as [number, number, number, number];
      const apart = dataFormat === 'NHWC'
        ? graph.transpose(graph.reshape(x as Ref, [a, b, c, s, s, d / (s * s)]), [0, 1, 3, 2, 4, 5])
        : graph.transpose(graph.reshape(x as Ref, [a, s, s, b / (s * s), c, d]), [0, 3, 4, 1, 5, 2]);
      return graph.reshape(apart, (out as Spec).shape);
    },
  }),
  kernel<Blocks>({
    name: 'SpaceToBatchND', inputs: ['x'],
    infer: ([x], { blockShape, paddings }) => {
      const { shape, dtype } = x as Spec;
      const spatial = blockShape.map((block, i) => ((shape[i + 1] as number) + (paddings[i] as [number, number])[0] + (paddings[i] as [number, number])[1]) / block);
      return { shape: [(shape[0] as number) * sizeOf(blockShape), ...spatial, ...shape.slice(blockShape.length + 1)], dtype };
    },
    emit: (graph, [x], { blockShape, paddings }, [out]) => {
      const source = graph.pad(x as Ref, [[0, 0], ...paddings, ...(x as Ref).shape.slice(blockShape.length + 1).map((): [number, number] => [0, 0])]);
      const { shape } = source;
      const m = blockShape.length;
      const apart = graph.reshape(source, [shape[0] as number, ...blockShape.flatMap((block, i) => [(shape[i + 1] as number) / block, block]), ...shape.slice(m + 1)]);
      const order = [...blockShape.map((_, i) => 2 * i + 2), 0, ...blockShape.map((_, i) => 2 * i + 1), ...shape.slice(m + 1).map((_, i) => 2 * m + 1 + i)];
      return graph.reshape(graph.transpose(apart, order), (out as Spec).shape);
    },
  }),
  kernel<Blocks>({
    name: 'BatchToSpaceND', inputs: ['x'],
    infer: ([x], { blockShape, crops }) => {
      const { shape, dtype } = x as Spec;
      const spatial = blockShape.map((block, i) => (shape[i + 1] as number) * block - (crops[i] as [number, number])[0] - (crops[i] as [number, number])[1]);
      return { shape: [(shape[0] as number) / sizeOf(blockShape), ...spatial, ...shape.slice(blockShape.length + 1)], dtype };
    },
    emit: (graph, [x], { blockShape, crops }, [out]) => {
      const { shape } = x as Ref;
      const m = blockShape.length;
      const batch = (shape[0] as number) / sizeOf(blockShape);
      const apart = graph.reshape(x as Ref, [...blockShape, batch, ...shape.slice(1)]);
      const order = [m, ...blockShape.flatMap((_, i) => [m + 1 + i, i]), ...shape.slice(m + 1).map((_, i) => 2 * m + 1 + i)];
      const whole = graph.reshape(graph.transpose(apart, order), [batch, ...blockShape.map((block, i) => (shape[i + 1] as number) * block), ...shape.slice(m + 1)]);
      return graph.slice(whole, whole.shape.map((_, i) => crops[i - 1]?.[0] ?? 0), (out as Spec).shape);
    },
  }),
  kernel({
    name: 'FlipLeftRight', inputs: ['image'],
    infer: ([x]) => ({ shape: (x as Spec).shape, dtype: (x as Spec).dtype }),
    emit: (graph, [x]) => { const width = (x as Ref).shape[2] as number; return graph.every(x as Ref, 2, width - 1, -1, width); },
  }),
  kernel({
    name: 'Diag', inputs: ['x'],
    infer: ([x]) => ({ shape: [...(x as Spec).shape, ...(x as Spec).shape], dtype: (x as Spec).dtype }),
    emit: (graph, [x], _attrs, [out]) => {
      const n = sizeOf((x as Ref).shape);
      // Rows of n + 1 places, each beginning with one element, laid end to end: the elements fall on the diagonal of rows of n.
      const rows = graph.pad(graph.reshape(x as Ref, [n, 1]), [[0, 0], [0, n]]);
      return graph.reshape(graph.slice(graph.reshape(rows, [n * (n + 1)]), [0], [n * n]), (out as Spec).shape);
    },
  }),
  kernel({
    name: 'TensorScatterUpdate', inputs: ['tensor', 'indices', 'updates'],
    infer: ([x]) => ({ shape: (x as Spec).shape, dtype: (x as Spec).dtype }),
    emit: (graph, [x, indices, updates]) => graph.op('ScatterND', [x, graph.cast(indices as Ref, 'int64'), updates]),
  }),
  kernel<{ outputShape: number[] }>({
    name: 'SparseToDense', inputs: ['sparseIndices', 'sparseValues', 'defaultValue'],
    infer: ([, values], { outputShape }) => ({ shape: outputShape, dtype: (values as Spec).dtype }),
    emit: (graph, [indices, values, fallback], { outputShape }) => {
      const rank = outputShape.length;
      const count = sizeOf((indices as Ref).shape) / ((indices as Ref).shape.length === 2 ? rank : 1);
      const places = graph.reshape(graph.cast(indices as Ref, 'int64'), [count, rank]);
      const given = graph.broadcast((values as Ref).shape.length === 0 ? graph.reshape(values as Ref, [1]) : values as Ref, [count]);
      return graph.op('ScatterND', [graph.broadcast(fallback as Ref, outputShape), places, given]);
    },
  }),
];
