/** Two-dimensional convolution and its two gradients, as TensorFlow.js calls them. What they compute is in convolve.ts. */
import * as tf from '../../../tf.ts';
import type { Graph, Ref } from '../graph.ts';
import { type Kernel, kernel } from '../registry.ts';
import type { Spec } from '../value.ts';
import { type Geometry, backwardFilter, backwardInput, forward } from './convolve.ts';

type ConvAttrs = Readonly<{
  strides: number | [number, number];
  pad: 'valid' | 'same' | number | tf.backend_util.ExplicitPadding;
  dataFormat: 'NHWC' | 'NCHW';
  dilations?: number | [number, number];
  dimRoundingMode?: 'floor' | 'round' | 'ceil';
}>;
type Sizes4 = [number, number, number, number];

const infoOf = (x: readonly number[], filter: readonly number[], { strides, pad, dataFormat, dilations = 1, dimRoundingMode }: ConvAttrs): tf.backend_util.Conv2DInfo =>
  tf.backend_util.computeConv2DInfo(x as Sizes4, filter as Sizes4, strides, dilations, pad, dimRoundingMode, false, tf.backend_util.convertConv2DDataFormat(dataFormat));

const geometryOf = (info: tf.backend_util.Conv2DInfo): Geometry => ({
  batch: info.batchSize, inputs: info.inChannels, outputs: info.outChannels,
  size: [info.inHeight, info.inWidth], result: [info.outHeight, info.outWidth], kernel: [info.filterHeight, info.filterWidth],
  stride: [info.strideHeight, info.strideWidth], dilation: [info.dilationHeight, info.dilationWidth], before: [info.padInfo.top, info.padInfo.left], after: [info.padInfo.bottom, info.padInfo.right],
});

const toChannelsFirst = (graph: Graph, x: Ref, { dataFormat }: ConvAttrs): Ref => (dataFormat === 'NCHW' ? x : graph.transpose(x, [0, 3, 1, 2]));
const fromChannelsFirst = (graph: Graph, x: Ref, { dataFormat }: ConvAttrs): Ref => (dataFormat === 'NCHW' ? x : graph.transpose(x, [0, 2, 3, 1]));
const toOutFirst = (graph: Graph, filter: Ref): Ref => graph.transpose(filter, [3, 2, 0, 1]);

export const convolutions: readonly Kernel[] = [
  kernel<ConvAttrs>({
    name: 'Conv2D', inputs: ['x', 'filter'],
    infer: ([x, filter], attrs) => ({ shape: infoOf((x as Spec).shape, (filter as Spec).shape, attrs).outShape, dtype: 'float32' }),
    emit: (graph, [x, filter], attrs) => {
      const geometry = geometryOf(infoOf((x as Ref).shape, (filter as Ref).shape, attrs));
      return fromChannelsFirst(graph, forward(graph, toChannelsFirst(graph, x as Ref, attrs), toOutFirst(graph, filter as Ref), geometry), attrs);
    },
  }),
  kernel<ConvAttrs & { inputShape: Sizes4 }>({
    name: 'Conv2DBackpropInput', inputs: ['dy', 'filter'],
    infer: (_inputs, { inputShape }) => ({ shape: inputShape, dtype: 'float32' }),
    emit: (graph, [dy, filter], attrs) => {
      const geometry = geometryOf(infoOf(attrs.inputShape, (filter as Ref).shape, attrs));
      return fromChannelsFirst(graph, backwardInput(graph, toChannelsFirst(graph, dy as Ref, attrs), toOutFirst(graph, filter as Ref), geometry), attrs);
    },
  }),
  kernel<ConvAttrs & { filterShape: Sizes4 }>({
    name: 'Conv2DBackpropFilter', inputs: ['x', 'dy'],
    infer: (_inputs, { filterShape }) => ({ shape: filterShape, dtype: 'float32' }),
    emit: (graph, [x, dy], attrs) => {
      const geometry = geometryOf(infoOf((x as Ref).shape, attrs.filterShape, attrs));
      return graph.transpose(backwardFilter(graph, toChannelsFirst(graph, x as Ref, attrs), toChannelsFirst(graph, dy as Ref, attrs), geometry), [2, 3, 1, 0]);
    },
  }),
];
