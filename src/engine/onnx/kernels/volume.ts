/** Three-dimensional convolution and its two gradients. Outside [B, D, H, W, C] and [kd, kh, kw, in, out], inside channels first. */
import * as tf from '../../../tf.ts';
import { type Graph, type Ref } from '../graph.ts';
import { type Kernel, kernel } from '../registry.ts';
import type { Spec } from '../value.ts';
import { type Windows, channelsFirst, channelsLast, padded, seenAt, tapsOf, windowAttributes } from './windows.ts';

type Sizes = [number, number, number, number, number];
type Attrs = Readonly<{ strides: number | [number, number, number]; pad: 'same' | 'valid'; dilations?: number | [number, number, number] }>;

const windowsOf = (x: readonly number[], filter: readonly number[], { strides, pad, dilations = 1 }: Attrs): Windows => {
  const info = tf.backend_util.computeConv3DInfo(x as Sizes, filter as Sizes, strides, dilations, pad);
  return {
    batch: info.batchSize, channels: info.inChannels, inputs: [info.inDepth, info.inHeight, info.inWidth], outputs: [info.outDepth, info.outHeight, info.outWidth],
    size: [info.filterDepth, info.filterHeight, info.filterWidth], strides: [info.strideDepth, info.strideHeight, info.strideWidth],
    dilations: [info.dilationDepth, info.dilationHeight, info.dilationWidth], before: [info.padInfo.front, info.padInfo.top, info.padInfo.left],
  };
};

/** Pads the spatial axes by what may be negative, which cuts. */
const framed = (graph: Graph, x: Ref, pads: readonly (readonly [number, number])[]): Ref => {
  const cut = graph.slice(x, x.shape.map((_, i) => Math.max(0, -(pads[i - 2]?.[0] ?? 0))), x.shape.map((n, i) => n + Math.min(0, pads[i - 2]?.[0] ?? 0) + Math.min(0, pads[i - 2]?.[1] ?? 0)));
  return graph.pad(cut, [[0, 0], [0, 0], ...pads.map(([a, b]): [number, number] => [Math.max(0, a), Math.max(0, b)])]);
};

/** Places outputs `stride` apart on one axis. */
const apart = (graph: Graph, x: Ref, axis: number, stride: number): Ref => {
  if (stride === 1) return x;
  const n = x.shape[axis] as number;
  const alone = graph.reshape(x, [...x.shape.slice(0, axis + 1), 1, ...x.shape.slice(axis + 1)]);
  const wide = graph.reshape(graph.pad(alone, alone.shape.map((_, i): [number, number] => [0, i === axis + 1 ? stride - 1 : 0])), x.shape.map((size, i) => (i === axis ? n * stride : size)));
  return graph.slice(wide, wide.shape.map(() => 0), wide.shape.map((size, i) => (i === axis ? (n - 1) * stride + 1 : size)));
};

export const volumes: readonly Kernel[] = [
  kernel<Attrs>({
    name: 'Conv3D', inputs: ['x', 'filter'],
    infer: ([x, filter], attrs) => { const { batch, outputs } = windowsOf((x as Spec).shape, (filter as Spec).shape, attrs); return { shape: [batch, ...outputs, (filter as Spec).shape[4] as number], dtype: 'float32' }; },
    emit: (graph, [x, filter], attrs) => {
      const windows = windowsOf((x as Ref).shape, (filter as Ref).shape, attrs);
      return channelsLast(graph, graph.op('Conv', [channelsFirst(graph, x as Ref), graph.transpose(filter as Ref, [4, 3, 0, 1, 2])], {
        shape: [windows.batch, (filter as Ref).shape[4] as number, ...windows.outputs], attributes: windowAttributes(windows),
      }));
    },
  }),
  kernel<Attrs & { inputShape: Sizes }>({
    name: 'Conv3DBackpropInputV2', inputs: ['dy', 'filter'],
    infer: (_inputs, { inputShape }) => ({ shape: inputShape, dtype: 'float32' }),
    emit: (graph, [dy, filter], attrs) => {
      const windows = windowsOf(attrs.inputShape, (filter as Ref).shape, attrs);
      const { batch, channels, inputs, outputs, size, strides, dilations, before } = windows;
      // A convolution of the outputs, set apart by the stride, with the filter turned round.
      const spread = outputs.reduce((part, _, axis) => apart(graph, part, axis + 2, strides[axis] as number), channelsFirst(graph, dy as Ref));
      const reaches = size.map((n, axis) => (n - 1) * (dilations[axis] as number));
      const pads = inputs.map((n, axis): [number, number] => {
        const front = (reaches[axis] as number) - (before[axis] as number);
        return [front, n + (reaches[axis] as number) - (spread.shape[axis + 2] as number) - front];
      });
      const turned = [2, 3, 4].reduce((w, axis) => { const n = w.shape[axis] as number; return n < 2 ? w : graph.every(w, axis, n - 1, -1, n); }, graph.transpose(filter as Ref, [3, 4, 0, 1, 2]));
      return channelsLast(graph, graph.op('Conv', [framed(graph, spread, pads), turned], {
        shape: [batch, channels, ...inputs], attributes: { kernel_shape: size, strides: [1, 1, 1], dilations, pads: [0, 0, 0, 0, 0, 0] },
      }));
    },
  }),
  kernel<Attrs & { filterShape: Sizes }>({
    name: 'Conv3DBackpropFilterV2', inputs: ['x', 'dy'],
    infer: (_inputs, { filterShape }) => ({ shape: filterShape, dtype: 'float32' }),
    emit: (graph, [x, dy], attrs) => {
      const [, , , from, to] = attrs.filterShape;
      const windows = windowsOf((x as Ref).shape, attrs.filterShape, attrs);
      const positions = windows.outputs.reduce((a, b) => a * b, 1);
      const source = padded(graph, channelsFirst(graph, x as Ref), windows);
      const flat = (part: Ref, channels: number): Ref => graph.reshape(graph.transpose(part, [1, 0, 2, 3, 4]), [channels, windows.batch * positions]);
      const gradient = flat(channelsFirst(graph, dy as Ref), to);
      const taps = tapsOf(windows).map((tap) => graph.reshape(graph.matMul(flat(seenAt(graph, source, windows, tap), from), gradient, false, true), [1, from, to]));
      return graph.reshape(graph.concat(taps, 0), attrs.filterShape);
    },
  }),
];
