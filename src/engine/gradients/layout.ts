/** Gradients of kernels that move elements about. */
import * as tf from '../../tf.ts';
import { around, gradient, noGradient } from './support.ts';

type Pads = readonly (readonly [number, number])[];

/** Places the elements of an axis `step` apart, with zeros between: n elements become (n - 1) step + 1. */
export const dilate = (x: tf.Tensor, axis: number, step: number): tf.Tensor => {
  if (step === 1) return x;
  const [before, n, behind] = around(x.shape, axis);
  const apart = tf.reshape(tf.pad(tf.reshape(x, [before, n, 1, behind]), [[0, 0], [0, 0], [0, step - 1], [0, 0]]), [before, n * step, behind]);
  return tf.reshape(tf.slice(apart, [0, 0, 0], [before, (n - 1) * step + 1, behind]), x.shape.with(axis, (n - 1) * step + 1));
};

/** Every `step`-th element of an axis, from the first: what `dilate` is the transpose of. */
export const every = (x: tf.Tensor, axis: number, step: number): tf.Tensor => {
  if (step === 1) return x;
  const [before, n, behind] = around(x.shape, axis);
  const count = Math.ceil(n / step);
  const whole = tf.reshape(tf.pad(tf.reshape(x, [before, n, behind]), [[0, 0], [0, count * step - n], [0, 0]]), [before, count, step, behind]);
  return tf.reshape(tf.slice(whole, [0, 0, 0, 0], [before, count, 1, behind]), x.shape.with(axis, count));
};

/** One axis of a mirrored padding undone: what was copied out is added back to where it came from. */
const unmirror = (dy: tf.Tensor, axis: number, [left, right]: readonly [number, number], edge: number): tf.Tensor => {
  if (left === 0 && right === 0) return dy;
  const [before, padded, behind] = around(dy.shape, axis);
  const n = padded - left - right;
  const whole = tf.reshape(dy, [before, padded, behind]);
  const returned = (from: number, count: number, to: number): tf.Tensor =>
    tf.pad(tf.reverse(tf.slice(whole, [0, from, 0], [before, count, behind]), 1), [[0, 0], [to, n - to - count], [0, 0]]);
  const parts = [tf.slice(whole, [0, left, 0], [before, n, behind]), ...(left > 0 ? [returned(0, left, edge)] : []), ...(right > 0 ? [returned(left + n, right, n - edge - right)] : [])];
  return tf.reshape(parts.reduce((a, b) => tf.add(a, b)), dy.shape.with(axis, n));
};

/** Sums the repetitions of one axis. */
const untile = (dy: tf.Tensor, axis: number, repetitions: number): tf.Tensor => {
  if (repetitions === 1) return dy;
  const [before, tiled, behind] = around(dy.shape, axis);
  const n = tiled / repetitions;
  return tf.reshape(tf.sum(tf.reshape(dy, [before, repetitions, n * behind]), 1), dy.shape.with(axis, n));
};

type Strided = Readonly<{ begin: number[]; end: number[]; strides: number[]; beginMask: number; endMask: number; ellipsisMask: number; newAxisMask: number; shrinkAxisMask: number }>;

const unstride = (dy: tf.Tensor, shape: readonly number[], { begin, end, strides, beginMask, endMask, ellipsisMask, newAxisMask, shrinkAxisMask }: Strided): tf.Tensor => {
  const info = tf.slice_util.sliceInfo([...shape], begin, end, strides, beginMask, endMask, ellipsisMask, newAxisMask, shrinkAxisMask);
  return shape.reduce<tf.Tensor>((grad, n, axis) => {
    const [stride, first, count] = [info.strides[axis] as number, info.begin[axis] as number, grad.shape[axis] as number];
    const apart = dilate(stride < 0 ? tf.reverse(grad, axis) : grad, axis, Math.abs(stride));
    const start = stride < 0 ? first + (count - 1) * stride : first;
    return tf.pad(apart, apart.shape.map((size, i) => (i === axis ? [start, n - start - size] : [0, 0])));
  }, tf.reshape(dy, tf.slice_util.computeOutShape(info.begin, info.end, info.strides)));
};

/** Rows of x picked by index, within each of the first `batchDims` axes: the gradient is added up where indices repeat. */
const ungather = (dy: tf.Tensor, x: tf.Tensor, indices: tf.Tensor, axis: number, batchDims: number): tf.Tensor => {
  const [batch, outer, inner] = [x.shape.slice(0, batchDims), x.shape.slice(batchDims, axis), x.shape.slice(axis + 1)].map((part) => tf.util.sizeFromShape(part)) as [number, number, number];
  const n = x.shape[axis] as number;
  const count = indices.size / batch;
  const rows = tf.reshape(tf.transpose(tf.reshape(dy, [batch, outer, count, inner]), [0, 2, 1, 3]), [batch * count, outer * inner]);
  const within = tf.cast(tf.reshape(indices, [batch, count]), 'int32');
  const places = batch === 1 ? within : tf.add(within, tf.mul(tf.reshape(tf.range(0, batch, 1, 'int32'), [batch, 1]), tf.scalar(n, 'int32')));
  const added = tf.scatterND(tf.reshape(places, [-1, 1]), rows, [batch * n, outer * inner]);
  return tf.reshape(tf.transpose(tf.reshape(added, [batch, n, outer, inner]), [0, 2, 1, 3]), x.shape);
};

export const layout: readonly tf.GradConfig[] = [
  // TensorFlow.js drops what was mirrored.
  gradient<{ paddings: Pads; mode: 'reflect' | 'symmetric' }>('MirrorPad', [], (dy, _, { paddings, mode }) => ({
    x: () => paddings.reduce((grad, pads, axis) => unmirror(grad, axis, pads, mode === 'reflect' ? 1 : 0), dy),
  })),
  gradient<{ reps: number[] }>('Tile', [], (dy, _, { reps }) => ({ x: () => reps.reduce((grad, repetitions, axis) => untile(grad, axis, repetitions), dy) })),
  gradient<Strided>('StridedSlice', ['x'], (dy, [x], attributes) => ({ x: () => unstride(dy, (x as tf.Tensor).shape, attributes) })),
  gradient<{ blockSize: number; dataFormat: string }>('DepthToSpace', [], (dy, _, { blockSize: s, dataFormat }) => ({
    x: () => {
      const first = dataFormat === 'NCHW';
      const [b, h, w, c] = (first ? [dy.shape[0], dy.shape[2], dy.shape[3], dy.shape[1]] : dy.shape) as [number, number, number, number];
      const cells = first
        ? tf.transpose(tf.reshape(dy, [b * c, h / s, s, w / s, s]), [0, 2, 4, 1, 3])
        : tf.transpose(tf.reshape(dy, [b, h / s, s, w / s, s * c]), [0, 1, 3, 2, 4]);
      // NCHW: the blocks lie outside the channels.
      return first
        ? tf.reshape(tf.transpose(tf.reshape(cells, [b, c, s * s, (h / s) * (w / s)]), [0, 2, 1, 3]), [b, c * s * s, h / s, w / s])
        : tf.reshape(cells, [b, h / s, w / s, s * s * c]);
    },
  })),
  gradient('FlipLeftRight', [], (dy) => ({ image: () => tf.image.flipLeftRight(dy as tf.Tensor4D) })),
  gradient('Diag', ['x'], (dy, [x]) => {
    const { shape, size } = x as tf.Tensor;
    return { x: () => tf.reshape(tf.sum(tf.mul(tf.reshape(dy, [size, size]), tf.eye(size)), 1), shape) };
  }),
  gradient<{ axis: number; batchDims: number }>('GatherV2', ['x', 'indices'], (dy, [x, indices], { axis, batchDims }) => ({
    x: () => ungather(dy, x as tf.Tensor, indices as tf.Tensor, tf.util.parseAxisParam(axis, (x as tf.Tensor).shape)[0] as number, batchDims),
    indices: () => noGradient(indices as tf.Tensor),
  })),
  gradient('GatherNd', ['params', 'indices'], (dy, [params, indices]) => ({
    params: () => tf.scatterND(indices as tf.Tensor, dy, (params as tf.Tensor).shape),
    indices: () => noGradient(indices as tf.Tensor),
  })),
  gradient('ScatterNd', ['indices'], (dy, [indices]) => ({
    indices: () => noGradient(indices as tf.Tensor),
    updates: () => tf.gatherND(dy, indices as tf.Tensor),
  })),
  gradient('TensorScatterUpdate', ['indices'], (dy, [indices]) => {
    const updates = (): tf.Tensor => tf.gatherND(dy, indices as tf.Tensor);
    return {
      indices: () => noGradient(indices as tf.Tensor),
      updates,
      tensor: () => tf.where(tf.greater(tf.scatterND(indices as tf.Tensor, tf.onesLike(updates()), dy.shape), 0), tf.zerosLike(dy), dy),
    };
  }),
  gradient('UnsortedSegmentSum', ['segmentIds'], (dy, [segmentIds]) => {
    const ids = segmentIds as tf.Tensor1D;
    return {
      segmentIds: () => noGradient(ids),
      // Elements of a negative segment were dropped.
      x: () => tf.mul(tf.gather(dy, tf.maximum(ids, tf.zerosLike(ids)) as tf.Tensor1D), tf.reshape(tf.cast(tf.greaterEqual(ids, 0), 'float32'), [-1, ...dy.shape.slice(1).map(() => 1)])),
    };
  }),
];
