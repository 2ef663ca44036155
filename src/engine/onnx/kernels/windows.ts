/** Sliding windows in any number of dimensions, channels first: what pooling and depthwise convolution are made of. */
import * as tf from '../../../tf.ts';
import { type Graph, type Ref, range } from '../graph.ts';

/** Where windows lie. Lists have one entry per spatial axis. */
export type Windows = Readonly<{
  batch: number; channels: number;
  inputs: readonly number[]; outputs: readonly number[];
  size: readonly number[]; strides: readonly number[]; dilations: readonly number[];
  /** Padding before the first place of each axis. */
  before: readonly number[];
}>;

type Padding = 'valid' | 'same' | number | tf.backend_util.ExplicitPadding;
export type WindowAttrs = Readonly<{ strides: number | number[]; pad: Padding; dilations?: number | number[]; dimRoundingMode?: 'floor' | 'round' | 'ceil' }>;

/** The windows of a pool over [B, H, W, C] or [B, D, H, W, C]. */
export const poolWindows = (shape: readonly number[], filterSize: number | number[], { strides, pad, dilations = 1, dimRoundingMode }: WindowAttrs): Windows => {
  if (shape.length === 5) {
    const info = tf.backend_util.computePool3DInfo(shape as [number, number, number, number, number], filterSize as number, strides as number, dilations as number, pad as 'same', dimRoundingMode);
    return {
      batch: info.batchSize, channels: info.inChannels, inputs: [info.inDepth, info.inHeight, info.inWidth], outputs: [info.outDepth, info.outHeight, info.outWidth],
      size: [info.filterDepth, info.filterHeight, info.filterWidth], strides: [info.strideDepth, info.strideHeight, info.strideWidth],
      dilations: [info.dilationDepth, info.dilationHeight, info.dilationWidth], before: [info.padInfo.front, info.padInfo.top, info.padInfo.left],
    };
  }
  return flatWindows(tf.backend_util.computePool2DInfo(shape as [number, number, number, number], filterSize as number, strides as number, dilations as number, pad as 'same', dimRoundingMode));
};

/** The windows of a two-dimensional convolution or pool. */
export const flatWindows = (info: tf.backend_util.Conv2DInfo): Windows => ({
  batch: info.batchSize, channels: info.inChannels, inputs: [info.inHeight, info.inWidth], outputs: [info.outHeight, info.outWidth],
  size: [info.filterHeight, info.filterWidth], strides: [info.strideHeight, info.strideWidth],
  dilations: [info.dilationHeight, info.dilationWidth], before: [info.padInfo.top, info.padInfo.left],
});

/** [B, ..., C] read as [B, C, ...], and back. */
export const channelsFirst = (graph: Graph, x: Ref): Ref => graph.transpose(x, [0, x.shape.length - 1, ...range(x.shape.length - 2).map((i) => i + 1)]);
export const channelsLast = (graph: Graph, x: Ref): Ref => graph.transpose(x, [0, ...range(x.shape.length - 2).map((i) => i + 2), 1]);

/** How far the last window reaches, padding before it included. */
export const reach = ({ outputs, size, strides, dilations }: Windows, axis: number): number =>
  ((outputs[axis] as number) - 1) * (strides[axis] as number) + ((size[axis] as number) - 1) * (dilations[axis] as number) + 1;

/** Padding behind the last place that the windows need. */
export const behind = (windows: Windows): number[] => windows.inputs.map((n, axis) => Math.max(0, reach(windows, axis) - n - (windows.before[axis] as number)));

/** Attributes of ONNX's pooling and convolution operators. */
export const windowAttributes = (windows: Windows) => ({
  kernel_shape: windows.size, strides: windows.strides, dilations: windows.dilations, pads: [...windows.before, ...behind(windows)],
});

/** The places of the window: one offset per spatial axis, row by row. */
export const tapsOf = ({ size }: Windows): number[][] => size.reduce<number[][]>((taps, n) => taps.flatMap((tap) => range(n).map((i) => [...tap, i])), [[]]);

/** What each window sees at one of its places: [B, C, outputs]. @param padded [B, C, inputs with the padding that the windows need] */
export const seenAt = (graph: Graph, padded: Ref, { outputs, strides, dilations }: Windows, tap: readonly number[]): Ref => tap.reduce((part, place, axis) => {
  const [start, stride, count] = [place * (dilations[axis] as number), strides[axis] as number, outputs[axis] as number];
  if (stride !== 1) return graph.every(part, axis + 2, start, stride, count);
  return graph.slice(part, part.shape.map((_, i) => (i === axis + 2 ? start : 0)), part.shape.map((n, i) => (i === axis + 2 ? count : n)));
}, padded);

/** The padding that the windows need around [B, C, inputs], given to `seenAt`. */
export const padded = (graph: Graph, x: Ref, windows: Windows, value = 0): Ref =>
  graph.pad(x, [[0, 0], [0, 0], ...behind(windows).map((after, axis): [number, number] => [windows.before[axis] as number, after])], value);

/** The transposed convolution that gives back [B, out, inputs] from [B, in, outputs] and a weight [in, out / groups, ...size]. */
export const spreadBack = (graph: Graph, dy: Ref, weight: Ref, windows: Windows, groups: number): Ref => {
  const { batch, inputs, before, size, strides, dilations } = windows;
  const channels = (weight.shape[1] as number) * groups;
  // What lies outside the input is cut off by padding; what no window reached is zero.
  const end = inputs.map((n, axis) => Math.max(0, reach(windows, axis) - (before[axis] as number) - n));
  const cut = inputs.map((_, axis) => reach(windows, axis) - (before[axis] as number) - (end[axis] as number));
  const full = graph.op('ConvTranspose', [dy, weight], {
    shape: [batch, channels, ...cut],
    attributes: { kernel_shape: size, strides, dilations, group: groups, pads: [...before, ...end] },
  });
  return graph.pad(full, [[0, 0], [0, 0], ...inputs.map((n, axis): [number, number] => [0, n - (cut[axis] as number)])]);
};
