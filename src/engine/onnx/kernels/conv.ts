/** Two-dimensional convolution and its two gradients. Outside [B, H, W, C] and [kh, kw, in, out], inside [B, C, H, W] and [out, in, kh, kw]. */
import * as tf from '../../../tf.ts';
import { type Graph, type Ref, range } from '../graph.ts';
import { type Kernel, kernel } from '../registry.ts';
import type { Spec } from '../value.ts';

type ConvAttrs = Readonly<{
  strides: number | [number, number];
  pad: 'valid' | 'same' | number | tf.backend_util.ExplicitPadding;
  dataFormat: 'NHWC' | 'NCHW';
  dilations?: number | [number, number];
  dimRoundingMode?: 'floor' | 'round' | 'ceil';
}>;
type Info = tf.backend_util.Conv2DInfo;
type Sizes4 = [number, number, number, number];

const infoOf = (x: readonly number[], filter: readonly number[], { strides, pad, dataFormat, dilations = 1, dimRoundingMode }: ConvAttrs): Info =>
  tf.backend_util.computeConv2DInfo(x as Sizes4, filter as Sizes4, strides, dilations, pad, dimRoundingMode, false, tf.backend_util.convertConv2DDataFormat(dataFormat));

const toChannelsFirst = (graph: Graph, x: Ref, { dataFormat }: ConvAttrs): Ref => (dataFormat === 'NCHW' ? x : graph.transpose(x, [0, 3, 1, 2]));
const fromChannelsFirst = (graph: Graph, x: Ref, { dataFormat }: ConvAttrs): Ref => (dataFormat === 'NCHW' ? x : graph.transpose(x, [0, 2, 3, 1]));

/** y = conv(x, w), x [B, I, H, W], w [O, I, kh, kw]. */
const forward = (graph: Graph, x: Ref, w: Ref, info: Info): Ref => graph.op('Conv', [x, w], {
  shape: [info.batchSize, info.outChannels, info.outHeight, info.outWidth],
  attributes: {
    kernel_shape: [info.filterHeight, info.filterWidth], strides: [info.strideHeight, info.strideWidth], dilations: [info.dilationHeight, info.dilationWidth],
    pads: [info.padInfo.top, info.padInfo.left, info.padInfo.bottom, info.padInfo.right],
  },
});

/** dx from dy [B, O, oh, ow] and w [O, I, kh, kw]. */
const backwardInput = (graph: Graph, dy: Ref, w: Ref, info: Info): Ref => {
  const { batchSize, inChannels, inHeight, inWidth, outHeight, outWidth, strideHeight, strideWidth, dilationHeight, dilationWidth, filterHeight, filterWidth, padInfo: { top, left } } = info;
  const [reachH, reachW] = [dilationHeight * (filterHeight - 1), dilationWidth * (filterWidth - 1)];
  const shape = [batchSize, inChannels, inHeight, inWidth];
  if (strideHeight === 1 && strideWidth === 1 && top <= reachH && left <= reachW) {
    // A convolution with the filter turned round and its channels exchanged.
    const turned = [2, 3].reduce((part, axis) => { const n = w.shape[axis] as number; return n === 1 ? part : graph.every(part, axis, n - 1, -1, n); }, graph.transpose(w, [1, 0, 2, 3]));
    const pads = [reachH - top, reachW - left, inHeight + reachH - outHeight - (reachH - top), inWidth + reachW - outWidth - (reachW - left)];
    if (pads.every((n) => n >= 0)) {
      return graph.op('Conv', [dy, turned], { shape, attributes: { kernel_shape: [filterHeight, filterWidth], strides: [1, 1], dilations: [dilationHeight, dilationWidth], pads } });
    }
  }
  // The full size is what the transposed convolution gives without padding; what lies outside the input is cut off, what no output reached is zero.
  const [fullH, fullW] = [(outHeight - 1) * strideHeight + reachH + 1, (outWidth - 1) * strideWidth + reachW + 1];
  const [endH, endW] = [Math.max(0, fullH - top - inHeight), Math.max(0, fullW - left - inWidth)];
  const [cutH, cutW] = [fullH - top - endH, fullW - left - endW];
  const full = graph.op('ConvTranspose', [dy, w], {
    shape: [batchSize, inChannels, cutH, cutW],
    attributes: { kernel_shape: [filterHeight, filterWidth], strides: [strideHeight, strideWidth], dilations: [dilationHeight, dilationWidth], pads: [top, left, endH, endW] },
  });
  return graph.pad(full, [[0, 0], [0, 0], [0, inHeight - cutH], [0, inWidth - cutW]]);
};

/** dw [O, I, kh, kw] from x [B, I, H, W] and dy [B, O, oh, ow]: for each tap of the filter one product over all positions. */
const backwardFilter = (graph: Graph, x: Ref, dy: Ref, info: Info): Ref => {
  const { batchSize, inChannels, outChannels, outHeight, outWidth, strideHeight, strideWidth, dilationHeight, dilationWidth, filterHeight, filterWidth, padInfo } = info;
  const positions = outHeight * outWidth;
  const [needH, needW] = [(outHeight - 1) * strideHeight + dilationHeight * (filterHeight - 1) + 1, (outWidth - 1) * strideWidth + dilationWidth * (filterWidth - 1) + 1];
  const after = (need: number, size: number, before: number): number => Math.max(0, need - size - before);
  const padded = graph.pad(x, [[0, 0], [0, 0], [padInfo.top, after(needH, info.inHeight, padInfo.top)], [padInfo.left, after(needW, info.inWidth, padInfo.left)]]);
  const gradient = graph.reshape(dy, [batchSize, outChannels, positions]);
  const taps = range(filterHeight * filterWidth).map((tap) => {
    const [row, column] = [Math.floor(tap / filterWidth) * dilationHeight, (tap % filterWidth) * dilationWidth];
    const rows = strided(graph, padded, 2, row, strideHeight, outHeight);
    const seen = graph.reshape(strided(graph, rows, 3, column, strideWidth, outWidth), [batchSize, inChannels, positions]);
    return graph.reduce('Sum', graph.matMul(gradient, seen, false, true), [0], false);
  });
  const stacked = taps.length === 1 ? taps[0] as Ref : graph.concat(taps.map((tap) => graph.reshape(tap, [1, outChannels, inChannels])), 0);
  return graph.reshape(graph.transpose(graph.reshape(stacked, [taps.length, outChannels, inChannels]), [1, 2, 0]), [outChannels, inChannels, filterHeight, filterWidth]);
};

const strided = (graph: Graph, x: Ref, axis: number, start: number, stride: number, count: number): Ref => {
  if (stride !== 1) return graph.every(x, axis, start, stride, count);
  return graph.slice(x, x.shape.map((_, i) => (i === axis ? start : 0)), x.shape.map((n, i) => (i === axis ? count : n)));
};

export const convolutions: readonly Kernel[] = [
  kernel<ConvAttrs>({
    name: 'Conv2D', inputs: ['x', 'filter'],
    infer: ([x, filter], attrs) => ({ shape: infoOf((x as Spec).shape, (filter as Spec).shape, attrs).outShape, dtype: 'float32' }),
    emit: (graph, [x, filter], attrs) => {
      const info = infoOf((x as Ref).shape, (filter as Ref).shape, attrs);
      return fromChannelsFirst(graph, forward(graph, toChannelsFirst(graph, x as Ref, attrs), graph.transpose(filter as Ref, [3, 2, 0, 1]), info), attrs);
    },
  }),
  kernel<ConvAttrs & { inputShape: Sizes4 }>({
    name: 'Conv2DBackpropInput', inputs: ['dy', 'filter'],
    infer: (_inputs, { inputShape }) => ({ shape: inputShape, dtype: 'float32' }),
    emit: (graph, [dy, filter], attrs) => {
      const info = infoOf(attrs.inputShape, (filter as Ref).shape, attrs);
      return fromChannelsFirst(graph, backwardInput(graph, toChannelsFirst(graph, dy as Ref, attrs), graph.transpose(filter as Ref, [3, 2, 0, 1]), info), attrs);
    },
  }),
  kernel<ConvAttrs & { filterShape: Sizes4 }>({
    name: 'Conv2DBackpropFilter', inputs: ['x', 'dy'],
    infer: (_inputs, { filterShape }) => ({ shape: filterShape, dtype: 'float32' }),
    emit: (graph, [x, dy], attrs) => {
      const info = infoOf((x as Ref).shape, attrs.filterShape, attrs);
      return graph.transpose(backwardFilter(graph, toChannelsFirst(graph, x as Ref, attrs), toChannelsFirst(graph, dy as Ref, attrs), info), [2, 3, 1, 0]);
    },
  }),
];
