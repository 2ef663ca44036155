/** The runtime's convolution on blocked channels: [B, C/n, H, W, n] in memory, n being what its vectors hold (8 with AVX2, 16 with AVX-512). */
import type { Graph, Piece, Ref } from '../graph.ts';

type Pair = readonly [vertical: number, horizontal: number];

/** Whether a convolution of so many input channels can be blocked. Fewer than a block of channels need no blocking; others must fill theirs. */
export const fits = (graph: Graph, inputs: number): boolean => graph.block > 0 && (inputs < graph.block || inputs % graph.block === 0);

const whole = (axis: number, size: number): Piece => ({ axis, rank: 0, size });

/** Pieces of an axis in blocks: which blocks, and the place within one. */
const inBlocks = (axis: number, size: number, block: number): [Piece, Piece] => [{ axis, rank: 0, size: size / block }, { axis, rank: 1, size: block }];

/**
 * [B, I, H, W] with the filter [O, I, kh, kw] to [B, O, h, w], all in blocks. Output channels that do not fill a block are made up with zeros and cut off again.
 * @param options.turned reads the filter backwards in both directions
 */
export const convolveBlocked = (graph: Graph, x: Ref, w: Ref, { result, stride, dilation, before, after, turned = false }: Readonly<{ result: Pair; stride: Pair; dilation: Pair; before: Pair; after: Pair; turned?: boolean }>): Ref => {
  const { block } = graph;
  const [outputs, inputs, kh, kw] = w.shape as [number, number, number, number];
  const filled = Math.ceil(outputs / block) * block;
  // Zeros beside each row are put there beforehand: the runtime is slow at the ends of rows. Above and below it is not.
  const wide = graph.pad(x, [[0, 0], [0, 0], [0, 0], [before[1], after[1]]]);
  const [b, , height, width] = wide.shape as [number, number, number, number];
  const [channels, place] = inBlocks(1, inputs, block);
  const source = inputs < block
    ? graph.arrange(wide, [whole(0, b), whole(1, inputs), whole(2, height), whole(3, width)])
    : graph.arrange(wide, [whole(0, b), channels, whole(2, height), whole(3, width), place]);
  const filters = graph.pad(w, [[0, filled - outputs], [0, 0], [0, 0], [0, 0]]);
  const [out, outPlace] = inBlocks(0, filled, block);
  const [from, fromPlace] = inBlocks(1, inputs, block);
  const pieces = inputs < block ? [out, whole(1, inputs), whole(2, kh), whole(3, kw), outPlace] : [out, from, whole(2, kh), whole(3, kw), fromPlace, outPlace];
  // Turned once it is in blocks, which move as a whole.
  const laid = graph.arrange(filters, pieces);
  const filter = turned ? graph.flip(graph.viewed(laid, pieces, filters.shape), [2, 3]).physical : laid;
  const y = graph.physicalOp('Conv', [graph.physicalReshape(source, [b, inputs, height, width]), graph.physicalReshape(filter, [filled, inputs, kh, kw])], [b, filled, ...result], {
    kernel_shape: [kh, kw], strides: stride, dilations: dilation, pads: [before[0], 0, after[0], 0],
  }, 'com.microsoft.nchwc');
  const [made, madePlace] = inBlocks(1, filled, block);
  const whole4 = graph.viewed(y, [whole(0, b), made, whole(2, result[0]), whole(3, result[1]), madePlace], [b, filled, ...result]);
  return graph.slice(whole4, [0, 0, 0, 0], [b, outputs, ...result]);
};
