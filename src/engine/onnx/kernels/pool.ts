/** Pooling and its gradients, in two dimensions and in three. */
import { type Graph, type Ref, range } from '../graph.ts';
import { type Kernel, kernel } from '../registry.ts';
import type { Spec } from '../value.ts';
import { type WindowAttrs, type Windows, channelsFirst, channelsLast, padded, poolWindows, seenAt, spreadBack, tapsOf, windowAttributes } from './windows.ts';

type PoolAttrs = WindowAttrs & Readonly<{ filterSize: number | number[] }>;

const windowsOf = (x: Spec | Ref | undefined, attrs: PoolAttrs): Windows => poolWindows((x as Spec | Ref).shape, attrs.filterSize, attrs);
const pooledShape = ({ batch, channels, outputs }: Windows): number[] => [batch, channels, ...outputs];
const product = (sizes: readonly number[]): number => sizes.reduce((total, n) => total * n, 1);

const pool = (name: string, op: 'MaxPool' | 'AveragePool'): Kernel => kernel<PoolAttrs>({
  name, inputs: ['x'],
  infer: ([x], attrs) => { const { batch, channels, outputs } = windowsOf(x, attrs); return { shape: [batch, ...outputs, channels], dtype: 'float32' }; },
  emit: (graph, [x], attrs) => {
    const windows = windowsOf(x, attrs);
    return channelsLast(graph, graph.op(op, [channelsFirst(graph, x as Ref)], { shape: pooledShape(windows), attributes: windowAttributes(windows) }));
  },
});

/** For each place of the window: in which windows it holds the maximum; of ties the first. `lowest` stands for what lies outside. */
const chosenAt = (graph: Graph, x: Ref, maxima: Ref, windows: Windows): Ref[] => {
  const source = padded(graph, x, windows, lowest);
  let open: Ref | undefined;
  return tapsOf(windows).map((tap, i, taps) => {
    const equal = graph.elementwise('Equal', [seenAt(graph, source, windows, tap), maxima], { type: 'bool' });
    const chosen = open ? graph.elementwise('And', [equal, open]) : equal;
    if (i < taps.length - 1) { const left = graph.unary('Not', equal); open = open ? graph.elementwise('And', [open, left]) : left; }
    return chosen;
  });
};
const lowest = -3.4028234663852886e38;

/** Puts what belongs to one place of each window where that place is: [B, C, outputs] to [B, C, inputs], zero elsewhere. */
const placedAt = (graph: Graph, part: Ref, { inputs, outputs, strides, dilations, before }: Windows, tap: readonly number[]): Ref => inputs.reduce((x, n, i) => {
  const [axis, stride, count] = [i + 2, strides[i] as number, outputs[i] as number];
  const start = (tap[i] as number) * (dilations[i] as number) - (before[i] as number);
  const pads = (size: readonly number[], at: number, pad: [number, number]): [number, number][] => size.map((_, k): [number, number] => (k === at ? pad : [0, 0]));
  const apart = graph.reshape(x, [...x.shape.slice(0, axis + 1), 1, ...x.shape.slice(axis + 1)]);
  const wide = graph.reshape(graph.pad(apart, pads(apart.shape, axis + 1, [0, stride - 1])), x.shape.map((size, k) => (k === axis ? count * stride : size)));
  // What would fall outside the input came from the padding, and is no maximum.
  const [first, end] = [Math.max(0, -start), Math.min(count * stride, n - start)];
  const kept = graph.slice(wide, wide.shape.map((_, k) => (k === axis ? first : 0)), wide.shape.map((size, k) => (k === axis ? end - first : size)));
  return graph.pad(kept, pads(kept.shape, axis, [start + first, n - start - end]));
}, part);

/** Each output's gradient goes to where its window has its maximum. */
const maxPoolGrad = (name: string): Kernel => kernel<PoolAttrs>({
  name, inputs: ['dy', 'input', 'output'],
  infer: ([, x]) => ({ shape: (x as Spec).shape, dtype: 'float32' }),
  emit: (graph, [dy, x, y], attrs) => {
    const windows = windowsOf(x, attrs);
    const { batch, channels, inputs, outputs, size } = windows;
    const gradient = channelsFirst(graph, dy as Ref);
    const parts = chosenAt(graph, channelsFirst(graph, x as Ref), channelsFirst(graph, y as Ref), windows).map((chosen) => graph.elementwise('Where', [chosen, gradient, graph.scalar(0)]));
    // WebGPU has no transposed convolution in three dimensions.
    if (inputs.length === 3) return channelsLast(graph, parts.map((part, i) => placedAt(graph, part, windows, tapsOf(windows)[i] as number[])).reduce((a, b) => graph.elementwise('Add', [a, b])));
    // One channel for each place of the window, each spread back to that place alone.
    const taps = parts.length;
    const stacked = graph.concat(parts.map((part) => graph.reshape(part, [batch * channels, 1, ...outputs])), 1);
    const weight = graph.constant(Float32Array.from({ length: taps * taps }, (_, i) => (i % (taps + 1) === 0 ? 1 : 0)), [taps, 1, ...size], 'float32');
    return channelsLast(graph, graph.reshape(spreadBack(graph, stacked, weight, { ...windows, batch: batch * channels, channels: 1 }, 1), [batch, channels, ...inputs]));
  },
});

/** Sums what each window gives to all its places, along some of the spatial axes: [N, 1, outputs] to [N, 1, inputs]. */
const spreadEvenly = (graph: Graph, x: Ref, windows: Windows, share: number): Ref =>
  spreadBack(graph, x, graph.constant(new Float32Array(product(windows.size)).fill(share), [1, 1, ...windows.size], 'float32'), { ...windows, batch: x.shape[0] as number, channels: 1 }, 1);

/** The windows along some spatial axes; along a further, last one they do nothing. */
const along = (windows: Windows, from: number, to: number, idle?: number): Windows => {
  const [list, ones] = [(values: readonly number[], rest: number): number[] => [...values.slice(from, to), ...(idle === undefined ? [] : [rest])], 1];
  return {
    ...windows, inputs: list(windows.inputs, idle ?? 0), outputs: list(windows.outputs, idle ?? 0), size: list(windows.size, ones), strides: list(windows.strides, ones),
    dilations: list(windows.dilations, ones), before: list(windows.before, 0),
  };
};

/** Each place gets the gradients of the windows that see it, divided by the size of the whole window, as TensorFlow.js's kernel has it. */
const averagePoolGrad = (name: string, input: string): Kernel => kernel<PoolAttrs>({
  name, inputs: ['dy', input],
  infer: ([, x]) => ({ shape: (x as Spec).shape, dtype: 'float32' }),
  emit: (graph, [dy, x], attrs) => {
    const windows = windowsOf(x, attrs);
    const gradient = channelsFirst(graph, dy as Ref);
    const { batch, channels, inputs, outputs, size, strides, before } = windows;
    const share = 1 / product(size);
    if (inputs.every((n, axis) => size[axis] === strides[axis] && before[axis] === 0 && n === (outputs[axis] as number) * (size[axis] as number))) {
      const single = graph.reshape(graph.elementwise('Mul', [gradient, graph.scalar(share)]), [batch, channels, ...outputs.flatMap((n) => [n, 1])]);
      return channelsLast(graph, graph.reshape(graph.broadcast(single, [batch, channels, ...outputs.flatMap((n, axis) => [n, size[axis] as number])]), [batch, channels, ...inputs]));
    }
    const flat = graph.reshape(gradient, [batch * channels, 1, ...outputs]);
    if (inputs.length === 2) return channelsLast(graph, graph.reshape(spreadEvenly(graph, flat, windows, share), [batch, channels, ...inputs]));
    // First along the depth, then within each slice.
    const [depth, ...planes] = [inputs[0] as number, ...outputs.slice(1)];
    const deep = spreadEvenly(graph, graph.reshape(flat, [batch * channels, 1, outputs[0] as number, product(planes)]), along(windows, 0, 1, product(planes)), share);
    const spread = spreadEvenly(graph, graph.reshape(deep, [batch * channels * depth, 1, ...planes]), along(windows, 1, 3), 1);
    return channelsLast(graph, graph.reshape(spread, [batch, channels, ...inputs]));
  },
});

/** Place of a maximum counted channels last, within its image or within the batch. */
const maxPoolWithArgmax = kernel<PoolAttrs & { includeBatchInIndex: boolean }>({
  name: 'MaxPoolWithArgmax', inputs: ['x'],
  infer: ([x], attrs) => {
    const { batch, channels, outputs } = windowsOf(x, attrs);
    const shape = [batch, ...outputs, channels];
    return [{ shape, dtype: 'float32' }, { shape, dtype: 'int32' }];
  },
  emit: (graph, [x], attrs) => {
    const windows = windowsOf(x, attrs);
    const [height, width] = windows.inputs as [number, number];
    const source = channelsFirst(graph, x as Ref);
    const maxima = graph.op('MaxPool', [source], { shape: pooledShape(windows), attributes: windowAttributes(windows) });
    const { batch, channels, outputs: [rows, columns], strides: [down, right], dilations: [tall, wide], before: [top, left] } = windows as Windows & Readonly<Record<'outputs' | 'strides' | 'dilations' | 'before', readonly [number, number]>>;
    const int = (values: readonly number[], shape: readonly number[]): Ref => graph.constant(Int32Array.from(values), shape, 'int32');
    const positions = tapsOf(windows).map(([i, j]) => range(rows * columns).map((k) =>
      ((Math.floor(k / columns) * down - top + (i as number) * tall) * width + (k % columns) * right - left + (j as number) * wide) * channels));
    const chosen = chosenAt(graph, source, maxima, windows);
    const places = chosen.map((at, i) => graph.elementwise('Where', [at, int(positions[i] as number[], [1, 1, rows, columns]), graph.scalar(0, 'int32')])).reduce((a, b) => graph.elementwise('Add', [a, b]));
    const within = graph.elementwise('Add', [places, int(range(channels), [1, channels, 1, 1])]);
    const whole = attrs.includeBatchInIndex ? graph.elementwise('Add', [within, int(range(batch).map((n) => n * height * width * channels), [batch, 1, 1, 1])]) : within;
    return [channelsLast(graph, maxima), channelsLast(graph, whole)];
  },
});

export const pools: readonly Kernel[] = [
  pool('MaxPool', 'MaxPool'), pool('AvgPool', 'AveragePool'), pool('MaxPool3D', 'MaxPool'), pool('AvgPool3D', 'AveragePool'),
  maxPoolGrad('MaxPoolGrad'), maxPoolGrad('MaxPool3DGrad'), averagePoolGrad('AvgPoolGrad', 'input'), averagePoolGrad('AvgPool3DGrad', 'input'),
  maxPoolWithArgmax,
];
