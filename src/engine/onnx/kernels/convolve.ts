/**
 * Convolution and its gradients as graphs. Three ways, chosen by what the runtime offers and what the shapes allow:
 *
 * - pointwise (1x1): matrix products for the filter's gradient;
 * - blocked: the runtime's convolutions on [B, C/8, H, W, 8], which read and write whole vectors. All three passes are such convolutions. The input's gradient takes the filter
 *   turned round, with channels exchanged; at a stride, one small filter per residue of the position. The filter's gradient is a convolution of the input, its channels
 *   taken as images and its images as channels, with the output's gradient as the filter;
 * - plain: `Conv` and `ConvTranspose` on [B, C, H, W], and one product per filter tap.
 *
 * Everywhere x is [B, I, H, W], y [B, O, h, w] and the filter w [O, I, kh, kw].
 */
import { type Graph, type Ref, range } from '../graph.ts';
import { convolveBlocked, fits } from './blocked.ts';

type Pair = readonly [vertical: number, horizontal: number];

/** The sizes of one convolution. `before` and `after` are the zeros around the input. */
export type Geometry = Readonly<{ batch: number; inputs: number; outputs: number; size: Pair; result: Pair; kernel: Pair; stride: Pair; dilation: Pair; before: Pair; after: Pair }>;

/** y = x * w. */
export const forward = (graph: Graph, x: Ref, w: Ref, { batch, inputs, outputs, result, kernel, stride, dilation, before, after }: Geometry): Ref => {
  if (fits(graph, inputs)) return convolveBlocked(graph, x, w, { result, stride, dilation, before, after });
  return graph.op('Conv', [x, w], { shape: [batch, outputs, ...result], attributes: { kernel_shape: kernel, strides: stride, dilations: dilation, pads: [...before, ...after] } });
};

const both = <T>(f: (side: 0 | 1) => T): [T, T] => [f(0), f(1)];

/** dx from dy and w. */
export const backwardInput = (graph: Graph, dy: Ref, w: Ref, geometry: Geometry): Ref => {
  const { batch, inputs, size, result, kernel, stride, dilation, before } = geometry;
  const reach = both((i) => dilation[i] * (kernel[i] - 1));
  if (stride[0] === 1 && stride[1] === 1) {
    const exchanged = graph.transpose(w, [1, 0, 2, 3]);
    const first = both((i) => reach[i] - before[i]);
    const last = both((i) => size[i] + reach[i] - result[i] - first[i]);
    if ([...first, ...last].every((n) => n >= 0)) {
      if (fits(graph, geometry.outputs)) return convolveBlocked(graph, dy, exchanged, { result: size, stride, dilation, before: first, after: last, turned: true });
      return forward(graph, dy, graph.flip(exchanged, [2, 3]), { batch, inputs: geometry.outputs, outputs: inputs, size: result, result: size, kernel, stride, dilation, before: first, after: last });
    }
  }
  if (fits(graph, geometry.outputs) && dilation[0] === 1 && dilation[1] === 1) return byResidues(graph, dy, w, geometry);
  // The transposed convolution without padding, less what lies outside the input; what no output reached is zero.
  const full = both((i) => (result[i] - 1) * stride[i] + reach[i] + 1);
  const cut = both((i) => Math.max(0, full[i] - before[i] - size[i]));
  const made = both((i) => full[i] - before[i] - cut[i]);
  const dx = graph.op('ConvTranspose', [dy, w], { shape: [batch, inputs, ...made], attributes: { kernel_shape: kernel, strides: stride, dilations: dilation, pads: [...before, ...cut] } });
  return graph.pad(dx, [[0, 0], [0, 0], ...both((i) => [0, size[i] - made[i]] as const)]);
};

/**
 * dx at a stride: positions p * stride + r for each residue r see only the taps k with k congruent to r + before, so each residue is a small convolution of its own. All are done
 * as one, with the residues as output channels, and interleaved.
 */
const byResidues = (graph: Graph, dy: Ref, w: Ref, { batch, inputs, outputs, size, result, kernel, stride, before }: Geometry): Ref => {
  const taps = both((i) => Math.ceil(kernel[i] / stride[i]));
  // Taps by residue, [O, I, taps, stride, ...], with zeros where a residue has one tap fewer, in the order of the turned filter.
  const filled = graph.pad(w, [[0, 0], [0, 0], ...both((i) => [0, taps[i] * stride[i] - kernel[i]] as const)]);
  const split = graph.reshape(filled, [outputs, inputs, taps[0], stride[0], taps[1], stride[1]]);
  const filters = graph.reshape(graph.transpose(split, [3, 5, 1, 0, 2, 4]), [stride[0] * stride[1] * inputs, outputs, ...taps]);
  // Output row q of the small convolution holds position q * stride + r of the padded input, q from 0.
  const rows = both((i) => Math.ceil((before[i] + size[i]) / stride[i]));
  const read = graph.slice(dy, [0, 0, 0, 0], [batch, outputs, ...both((i) => Math.min(result[i], rows[i]))]);
  const small = convolveBlocked(graph, read, filters, { result: rows, stride: [1, 1], dilation: [1, 1], before: both((i) => taps[i] - 1), after: both((i) => Math.max(0, rows[i] - result[i])), turned: true });
  const apart = graph.reshape(small, [batch, stride[0], stride[1], inputs, ...rows]);
  const woven = graph.reshape(graph.transpose(apart, [0, 3, 4, 1, 5, 2]), [batch, inputs, rows[0] * stride[0], rows[1] * stride[1]]);
  return graph.slice(woven, [0, 0, ...before], [batch, inputs, ...size]);
};

/** dw from x and dy. */
export const backwardFilter = (graph: Graph, x: Ref, dy: Ref, geometry: Geometry): Ref => {
  const { batch, inputs, outputs, size, result, kernel, stride, dilation, before } = geometry;
  // How many zeros the last tap of the last output needs after the input; fewer than none means that the input's end is never read.
  const after = both((i) => (result[i] - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1 - size[i] - before[i]);
  const read = graph.slice(x, [0, 0, 0, 0], [batch, inputs, ...both((i) => size[i] + Math.min(0, after[i]))]);
  const zeros = both((i) => [before[i], Math.max(0, after[i])] as const);
  if (kernel[0] > 1 && fits(graph, batch % graph.block === 0 ? graph.block : 1)) {
    // Images in blocks of channels, or, where they do not come in blocks, in runs of fewer than a block.
    const run = batch % graph.block === 0 ? batch : largestRun(batch, graph.block - 1);
    const parts = range(batch / run).map((i) => {
      const [images, gradients] = [read, dy].map((t) => graph.transpose(graph.slice(t, [i * run, 0, 0, 0], [run, ...t.shape.slice(1)]), [1, 0, 2, 3])) as [Ref, Ref];
      return convolveBlocked(graph, images, gradients, { result: kernel, stride: dilation, dilation: stride, before: both((side) => zeros[side][0]), after: both((side) => zeros[side][1]) });
    });
    return graph.transpose(parts.reduce((a, b) => graph.elementwise('Add', [a, b])), [1, 0, 2, 3]);
  }
  const padded = graph.pad(read, [[0, 0], [0, 0], ...zeros]);
  const positions = result[0] * result[1];
  const pointwise = kernel[0] * kernel[1] === 1;
  const taps = range(kernel[0] * kernel[1]).map((tap) => {
    const at: Pair = [Math.floor(tap / kernel[1]) * dilation[0], (tap % kernel[1]) * dilation[1]];
    const seen = both((i) => i).reduce((part, i) => (stride[i] === 1
      ? graph.slice(part, part.shape.map((_, axis) => (axis === 2 + i ? at[i] : 0)), part.shape.map((n, axis) => (axis === 2 + i ? result[i] : n)))
      : graph.every(part, 2 + i, at[i], stride[i], result[i])), padded);
    return pointwise ? overAll(graph, seen, dy, batch * positions) : graph.reduce('Sum', graph.matMul(graph.reshape(dy, [batch, outputs, positions]), graph.reshape(seen, [batch, inputs, positions]), false, true), [0], false);
  });
  const stacked = graph.concat(taps.map((tap) => graph.reshape(tap, [outputs, inputs, 1])), 2);
  return graph.reshape(stacked, [outputs, inputs, ...kernel]);
};

/** Sum over images and positions of dy times x, [O, I], with positions as rows. */
const overAll = (graph: Graph, x: Ref, dy: Ref, rows: number): Ref => {
  const [left, right] = [dy, x].map((t) => graph.reshape(graph.settled(graph.transpose(t, [0, 2, 3, 1])), [rows, t.shape[1] as number])) as [Ref, Ref];
  return graph.matMul(left, right, true, false);
};

/** The largest divisor of n that is at most `bound`. */
const largestRun = (n: number, bound: number): number => range(bound).map((i) => bound - i).find((run) => n % run === 0) as number;
