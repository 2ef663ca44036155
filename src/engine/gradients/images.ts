/** Gradients of pooling and resizing, and of their gradients. */
import * as tf from '../../tf.ts';
import { gradient, kernel } from './support.ts';

type T = tf.Tensor;
type Pool = Readonly<{ filterSize: number | number[]; strides: number | number[]; pad: number | 'same' | 'valid' | tf.backend_util.ExplicitPadding; dimRoundingMode?: 'floor' | 'round' | 'ceil' }>;

/** How many places of each window lie inside along one axis. */
const inside = (outputs: number, stride: number, size: number, before: number, length: number): number[] =>
  Array.from({ length: outputs }, (_, i) => Math.min(i * stride - before + size, length) - Math.max(i * stride - before, 0));

/**
 * What an average pool divides by, as a share of the window: TensorFlow.js's forward kernels count only the places inside the image, its gradients all of them.
 * @returns float32 [1, ...outputs, 1], or nothing where no window reaches outside
 */
const shares = (shape: readonly number[], { filterSize, strides, pad, dimRoundingMode }: Pool): T | undefined => {
  const volume = shape.length === 5;
  const info = volume
    ? tf.backend_util.computePool3DInfo(shape as [number, number, number, number, number], filterSize as number, strides as number, 1, pad as 'same', dimRoundingMode)
    : tf.backend_util.computePool2DInfo(shape as [number, number, number, number], filterSize as number, strides as number, 1, pad as 'same', dimRoundingMode);
  const { padInfo } = info;
  const axes = [
    ...('outDepth' in info ? [inside(info.outDepth, info.strideDepth, info.filterDepth, info.padInfo.front, info.inDepth).map((n) => n / info.filterDepth)] : []),
    inside(info.outHeight, info.strideHeight, info.filterHeight, padInfo.top, info.inHeight).map((n) => n / info.filterHeight),
    inside(info.outWidth, info.strideWidth, info.filterWidth, padInfo.left, info.inWidth).map((n) => n / info.filterWidth),
  ];
  if (axes.every((axis) => axis.every((share) => share === 1))) return undefined;
  const product = axes.reduce((all, axis) => all.flatMap((share) => axis.map((other) => share * other)), [1]);
  return tf.tensor(product, [1, ...axes.map(({ length }) => length), 1]);
};

const averagePool = (name: string, dims: '' | '3D'): tf.GradConfig[] => [
  gradient<Pool>(name, ['x'], (dy, [x], attributes) => {
    const share = shares((x as T).shape, attributes);
    return { x: () => kernel(`AvgPool${dims}Grad`, { dy: share ? tf.div(dy, share) : dy, input: x as T }, attributes) };
  }),
  // AvgPoolGrad divides by the whole window: its transpose is the pool, times that share.
  gradient<Pool>(`${name}Grad`, ['input'], (ddx, [input], attributes) => {
    const share = shares((input as T).shape, attributes);
    const pooled = (): T => kernel(name, { x: ddx }, attributes);
    return { dy: () => (share ? tf.mul(pooled(), share) : pooled()), input: () => tf.zerosLike(input as T) };
  }),
];

/** Where output `i` of an axis reads the input: index and weight. */
type Read = (i: number) => readonly (readonly [index: number, weight: number])[];

/** The linear map of a resize along one axis, [to, from] row-major. */
const resizing = (from: number, to: number, read: Read): Float32Array => {
  const matrix = new Float32Array(to * from);
  for (let i = 0; i < to; i++) for (const [index, weight] of read(i)) matrix[i * from + index] = (matrix[i * from + index] as number) + weight;
  return matrix;
};

type Resize = Readonly<{ alignCorners: boolean; halfPixelCenters: boolean; size: readonly [number, number] }>;

const scale = (from: number, to: number, alignCorners: boolean): number => (alignCorners && to > 1 ? (from - 1) / (to - 1) : from / to);

const linear = (from: number, to: number, { alignCorners, halfPixelCenters }: Resize): Read => (i) => {
  const ratio = scale(from, to, alignCorners);
  const at = halfPixelCenters ? ratio * (i + 0.5) - 0.5 : ratio * i;
  const low = Math.max(0, Math.floor(at));
  const high = Math.min(from - 1, Math.ceil(at));
  const share = at - low;
  return [[low, 1 - share], [Math.max(0, high), share]];
};

const nearest = (from: number, to: number, { alignCorners, halfPixelCenters }: Resize): Read => (i) => {
  const ratio = scale(from, to, alignCorners);
  const at = halfPixelCenters ? ratio * (i + 0.5) : ratio * i;
  return [[Math.max(0, Math.min(from - 1, alignCorners ? Math.round(at) : Math.floor(at))), 1]];
};

/** The transpose of a separable resize: one matrix product per axis. [B, H', W', C] to [B, H, W, C]. */
const unresize = (dy: T, shape: readonly number[], attributes: Resize, read: typeof linear): T => {
  const [b, h, w, c] = shape as [number, number, number, number];
  const [rows, columns] = dy.shape.slice(1, 3) as [number, number];
  const along = (from: number, to: number): T => tf.tensor(resizing(from, to, read(from, to, attributes)), [1, to, from]);
  const tall = tf.matMul(along(h, rows), tf.reshape(dy, [b, rows, columns * c]), true);
  return tf.reshape(tf.matMul(along(w, columns), tf.reshape(tall, [b * h, columns, c]), true), [b, h, w, c]);
};

/** Enlarging by whole numbers without shifts repeats pixels: the gradient sums each block. */
const sumBlocks = (dy: T, shape: readonly number[]): T => {
  const [b, h, w, c] = shape as [number, number, number, number];
  const [rows, columns] = dy.shape.slice(1, 3) as [number, number];
  return tf.reshape(tf.sum(tf.reshape(dy, [b, h, rows / h, w, columns / w, c]), [2, 4]), [b, h, w, c]);
};

const isRepeat = ([, h = 1, w = 1]: readonly number[], [, rows = 1, columns = 1]: readonly number[], { alignCorners }: Resize): boolean =>
  !alignCorners && rows % h === 0 && columns % w === 0;

export const images: readonly tf.GradConfig[] = [
  ...averagePool('AvgPool', ''),
  ...averagePool('AvgPool3D', '3D'),
  gradient<Pool>('MaxPool', ['x'], (dy, [x, y], attributes) => ({
    x: () => kernel('MaxPoolGrad', { dy, input: x as T, output: y as T }, attributes),
  }), { outputs: [true] }),
  // Linear in dy: each output's gradient is read where that window has its maximum.
  gradient<Pool>('MaxPoolGrad', ['input', 'output'], (ddx, [input, pooled], { filterSize, strides, pad }) => ({
    dy: () => {
      const { indexes } = tf.maxPoolWithArgmax(input as tf.Tensor4D, filterSize as [number, number], strides as [number, number], pad as 'same', true);
      return tf.reshape(tf.gather(tf.reshape(ddx, [-1]), tf.reshape(indexes as T, [-1]) as tf.Tensor1D), (pooled as T).shape);
    },
    input: () => tf.zerosLike(input as T),
    output: () => tf.zerosLike(pooled as T),
  })),
  gradient<Resize>('ResizeBilinear', ['images'], (dy, [x], attributes) => ({ images: () => unresize(dy, (x as T).shape, attributes, linear) })),
  gradient<Resize>('ResizeNearestNeighbor', ['images'], (dy, [x], attributes) => ({
    images: () => (isRepeat((x as T).shape, dy.shape, attributes) ? sumBlocks(dy, (x as T).shape) : unresize(dy, (x as T).shape, attributes, nearest)),
  })),
];
