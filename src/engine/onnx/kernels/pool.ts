/** Pooling and its gradients, in two dimensions and in three. */
import { type Graph, type Ref } from '../graph.ts';
import { type Kernel, kernel } from '../registry.ts';
import type { Spec } from '../value.ts';
import { type WindowAttrs, type Windows, channelsFirst, channelsLast, poolWindows, spreadBack, windowAttributes } from './windows.ts';

type PoolAttrs = WindowAttrs & Readonly<{ filterSize: number | number[] }>;

const windowsOf = (x: Spec | Ref | undefined, attrs: PoolAttrs): Windows => poolWindows((x as Spec | Ref).shape, attrs.filterSize, attrs);
const pooledShape = ({ batch, channels, outputs }: Windows): number[] => [batch, channels, ...outputs];
const product = (sizes: readonly number[]): number => sizes.reduce((total, n) => total * n, 1);

/** The maxima of [B, C, ...] and, for each, its place in the whole input, counted channels first. Of ties the first. */
const maxima = (graph: Graph, x: Ref, windows: Windows): [Ref, Ref] => {
  const shape = pooledShape(windows);
  return graph.ops('MaxPool', [x], [{ shape, type: 'float32' }, { shape, type: 'int64' }], windowAttributes(windows)) as [Ref, Ref];
};

const pool = (name: string, op: 'MaxPool' | 'AveragePool'): Kernel => kernel<PoolAttrs>({
  name, inputs: ['x'],
  infer: ([x], attrs) => { const { batch, channels, outputs } = windowsOf(x, attrs); return { shape: [batch, ...outputs, channels], dtype: 'float32' }; },
  emit: (graph, [x], attrs) => {
    const windows = windowsOf(x, attrs);
    return channelsLast(graph, graph.op(op, [channelsFirst(graph, x as Ref)], { shape: pooledShape(windows), attributes: windowAttributes(windows) }));
  },
});

/** Each output's gradient goes to where its window has its maximum. */
const maxPoolGrad = (name: string): Kernel => kernel<PoolAttrs>({
  name, inputs: ['dy', 'input'],
  infer: ([, x]) => ({ shape: (x as Spec).shape, dtype: 'float32' }),
  emit: (graph, [dy, x], attrs) => {
    const windows = windowsOf(x, attrs);
    const source = channelsFirst(graph, x as Ref);
    const places = graph.reshape(maxima(graph, source, windows)[1], [product(pooledShape(windows))]);
    const gradient = graph.reshape(channelsFirst(graph, dy as Ref), places.shape);
    const apart = windows.strides.every((stride, axis) => stride >= (windows.size[axis] as number));
    const zeros = graph.broadcast(graph.scalar(0), [product(source.shape)]);
    const added = graph.op('ScatterElements', [zeros, places, gradient], { attributes: { axis: 0, ...(!apart && { reduction: 'add' }) } });
    return channelsLast(graph, graph.reshape(added, source.shape));
  },
});

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
    const one = { ...windows, batch: batch * channels, channels: 1 };
    const weight = graph.constant(new Float32Array(product(size)).fill(share), [1, 1, ...size], 'float32');
    const spread = spreadBack(graph, graph.reshape(gradient, [batch * channels, 1, ...outputs]), weight, one, 1);
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
    const [values, places] = maxima(graph, channelsFirst(graph, x as Ref), windows);
    const flat = graph.cast(places, 'int32');
    const by = (op: 'Div' | 'Mod' | 'Mul', a: Ref, n: number): Ref => graph.elementwise(op, [a, graph.scalar(n, 'int32')]);
    const plane = by('Mod', flat, height * width);
    const channel = by('Mod', by('Div', flat, height * width), windows.channels);
    const within = graph.elementwise('Add', [by('Mul', plane, windows.channels), channel]);
    const image = by('Mul', by('Div', flat, height * width * windows.channels), height * width * windows.channels);
    return [channelsLast(graph, values), channelsLast(graph, attrs.includeBatchInIndex ? graph.elementwise('Add', [within, image]) : within)];
  },
});

export const pools: readonly Kernel[] = [
  pool('MaxPool', 'MaxPool'), pool('AvgPool', 'AveragePool'), pool('MaxPool3D', 'MaxPool'), pool('AvgPool3D', 'AveragePool'),
  maxPoolGrad('MaxPoolGrad'), maxPoolGrad('MaxPool3DGrad'), averagePoolGrad('AvgPoolGrad', 'input'), averagePoolGrad('AvgPool3DGrad', 'input'),
  maxPoolWithArgmax,
];
