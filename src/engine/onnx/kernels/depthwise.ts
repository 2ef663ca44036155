/** Depthwise convolution and its two gradients. Outside [B, H, W, C] and [kh, kw, C, multiplier], inside [B, C, H, W] and [C * multiplier, 1, kh, kw]. */
import * as tf from '../../../tf.ts';
import { type Graph, type Ref, range } from '../graph.ts';
import { type Kernel, kernel } from '../registry.ts';
import type { Spec } from '../value.ts';
import { type WindowAttrs, channelsFirst, channelsLast, flatWindows, padded, seenAt, spreadBack, tapsOf, windowAttributes } from './windows.ts';

type Sizes = [number, number, number, number];

const infoOf = (x: readonly number[], filter: readonly number[], { strides, pad, dilations = 1, dimRoundingMode }: WindowAttrs): tf.backend_util.Conv2DInfo =>
  tf.backend_util.computeConv2DInfo(x as Sizes, filter as Sizes, strides as number, dilations as number, pad, dimRoundingMode, true);

const weightOf = (graph: Graph, filter: Ref): Ref => {
  const [height, width, channels, multiplier] = filter.shape as Sizes;
  return graph.reshape(graph.transpose(filter, [2, 3, 0, 1]), [channels * multiplier, 1, height, width]);
};

export const depthwise: readonly Kernel[] = [
  kernel<WindowAttrs>({
    name: 'DepthwiseConv2dNative', inputs: ['x', 'filter'],
    infer: ([x, filter], attrs) => ({ shape: infoOf((x as Spec).shape, (filter as Spec).shape, attrs).outShape, dtype: 'float32' }),
    emit: (graph, [x, filter], attrs, [out]) => {
      const info = infoOf((x as Ref).shape, (filter as Ref).shape, attrs);
      const [batch, height, width, channels] = (out as Spec).shape as Sizes;
      return channelsLast(graph, graph.op('Conv', [channelsFirst(graph, x as Ref), weightOf(graph, filter as Ref)], {
        shape: [batch, channels, height, width], attributes: { ...windowAttributes(flatWindows(info)), group: info.inChannels },
      }));
    },
  }),
  kernel<WindowAttrs & { inputShape: Sizes }>({
    name: 'DepthwiseConv2dNativeBackpropInput', inputs: ['dy', 'filter'],
    infer: (_inputs, { inputShape }) => ({ shape: inputShape, dtype: 'float32' }),
    emit: (graph, [dy, filter], attrs) => {
      const windows = flatWindows(infoOf(attrs.inputShape, (filter as Ref).shape, attrs));
      const { batch, channels, outputs, size } = windows;
      const multiplier = (filter as Ref).shape[3] as number;
      // One group of one channel at a time: WebGPU's transposed convolution errs on groups of several.
      const gradient = graph.reshape(channelsFirst(graph, dy as Ref), [batch, channels, multiplier, ...outputs]);
      const weights = graph.reshape(weightOf(graph, filter as Ref), [channels, multiplier, ...size]);
      const parts = range(multiplier).map((m) => {
        const pick = (x: Ref, axis: number): Ref => graph.slice(x, x.shape.map((_, i) => (i === axis ? m : 0)), x.shape.map((n, i) => (i === axis ? 1 : n)));
        return spreadBack(graph, graph.reshape(pick(gradient, 2), [batch, channels, ...outputs]), graph.reshape(pick(weights, 1), [channels, 1, ...size]), windows, channels);
      });
      return channelsLast(graph, parts.reduce((a, b) => graph.elementwise('Add', [a, b])));
    },
  }),
  kernel<WindowAttrs & { filterShape: Sizes }>({
    name: 'DepthwiseConv2dNativeBackpropFilter', inputs: ['x', 'dy'],
    infer: (_inputs, { filterShape }) => ({ shape: filterShape, dtype: 'float32' }),
    emit: (graph, [x, dy], attrs) => {
      const [, , channels, multiplier] = attrs.filterShape;
      const windows = flatWindows(infoOf((x as Ref).shape, attrs.filterShape, attrs));
      const { batch, outputs: [height, width] } = windows as typeof windows & { outputs: [number, number] };
      const source = padded(graph, channelsFirst(graph, x as Ref), windows);
      const gradient = graph.reshape(channelsFirst(graph, dy as Ref), [batch, channels, multiplier, height, width]);
      // One weighted sum over all positions for each place of the window.
      const taps = tapsOf(windows).map((tap) => {
        const seen = graph.reshape(seenAt(graph, source, windows, tap), [batch, channels, 1, height, width]);
        return graph.reshape(graph.reduce('Sum', graph.elementwise('Mul', [seen, gradient]), [0, 3, 4], false), [1, channels, multiplier]);
      });
      return graph.reshape(graph.concat(taps, 0), attrs.filterShape);
    },
  }),
];
