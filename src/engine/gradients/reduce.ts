/** Gradients of reductions, scans and sorting. */
import * as tf from '../../tf.ts';
import { around, axesOf, gradient, keptShape, noGradient, output } from './support.ts';

/** Gives `small`, which lacks the reduced axes, to every place of `shape`. No tensor of ones is made or written for it. */
const spread = (small: tf.Tensor, shape: readonly number[], axes: readonly number[]): tf.Tensor =>
  tf.broadcastTo(tf.reshape(small, keptShape(shape, axes)), [...shape]);

/** max or min: places that tie share the gradient evenly, so that it adds up to dy. */
const extreme = (name: string, compute: (x: tf.Tensor, axes: number[]) => tf.Tensor) =>
  gradient<{ reductionIndices?: number[]; axis?: number[] }>(name, ['x'], (dy, [saved, y], { reductionIndices, axis }) => {
    const x = saved as tf.Tensor;
    const axes = axesOf(reductionIndices ?? axis, x.shape);
    const kept = keptShape(x.shape, axes);
    return { x: () => {
      const chosen = tf.cast(tf.equal(x, tf.reshape(output(y as tf.Tensor, () => compute(x, axes)), kept)), 'float32');
      return tf.mul(chosen, tf.div(tf.reshape(dy, kept), tf.sum(chosen, axes, true)));
    } };
  }, { outputs: [true] });

/** The products of the elements after each place, or before it: a scan that leaves its own place out. */
const productsBeyond = (x: tf.Tensor, axis: number, reverse: boolean): tf.Tensor => tf.cumprod(x, axis, true, reverse);

/** The product's gradient by the products on either side of each place: right where elements are zero, unlike y / x. */
const product = (x: tf.Tensor, dy: tf.Tensor, axes: readonly number[]): tf.Tensor => {
  const others = x.shape.map((_, i) => i).filter((i) => !axes.includes(i));
  const order = [...others, ...axes];
  const moved = tf.transpose(x, order);
  const flat = tf.reshape(moved, [...others.map((i) => x.shape[i] as number), -1]);
  const last = flat.rank - 1;
  const grad = tf.mul(tf.reshape(dy, keptShape(flat.shape, [last])), tf.mul(productsBeyond(flat, last, false), productsBeyond(flat, last, true)));
  return tf.transpose(tf.reshape(grad, moved.shape), tf.backend_util.getUndoAxesPermutation(order));
};

/**
 * The gradient of y_j = x_0 ... x_j (or, exclusive, x_0 ... x_(j-1)), as a scan backwards: s_i = dy_i + x_(i+1) s_(i+1), and dx_i = s_i x_0 ... x_(i-1).
 * Written out place by place, since dividing by x fails at zero; meant for short axes.
 */
const cumulativeProduct = (x: tf.Tensor, dy: tf.Tensor, exclusive: boolean): tf.Tensor => {
  const [n = 1] = x.shape.slice(1);
  const [values, grads] = [tf.unstack(x, 1), tf.unstack(dy, 1)];
  const sums: tf.Tensor[] = Array.from({ length: n });
  for (let i = n - 1; i >= 0; i--) {
    const grad = exclusive ? grads[i + 1] : grads[i];
    const [next, sum] = [values[i + 1], sums[i + 1]];
    const beyond = next && sum && tf.mul(next, sum);
    sums[i] = grad && beyond ? tf.add(grad, beyond) : grad ?? beyond ?? tf.zerosLike(values[i] as tf.Tensor);
  }
  return tf.mul(tf.stack(sums, 1), productsBeyond(x, 1, false));
};

export const reduce: readonly tf.GradConfig[] = [
  gradient<{ axis?: number | number[] }>('Sum', ['x'], (dy, [x], { axis }) => ({ x: () => spread(dy, (x as tf.Tensor).shape, axesOf(axis, (x as tf.Tensor).shape)) })),
  gradient<{ axis?: number | number[] }>('Mean', ['x'], (dy, [x], { axis }) => {
    const { shape } = x as tf.Tensor;
    const axes = axesOf(axis, shape);
    return { x: () => spread(tf.mul(dy, 1 / axes.reduce((n, i) => n * (shape[i] as number), 1)), shape, axes) };
  }),
  extreme('Max', (x, axes) => tf.max(x, axes)),
  extreme('Min', (x, axes) => tf.min(x, axes)),
  gradient<{ axis?: number | number[] }>('Prod', ['x'], (dy, [x], { axis }) => ({ x: () => product(x as tf.Tensor, dy, axesOf(axis, (x as tf.Tensor).shape)) })),
  gradient<{ dim: number }>('Softmax', ['logits'], (dy, [logits, saved], { dim }) => ({
    logits: () => {
      const y = output(saved as tf.Tensor, () => tf.softmax(logits as tf.Tensor, dim));
      const weighted = tf.mul(dy, y);
      return tf.sub(weighted, tf.mul(tf.sum(weighted, [dim], true), y));
    },
  }), { outputs: [true] }),
  gradient<{ axis: number }>('LogSoftmax', ['logits'], (dy, [logits, y], { axis }) => ({
    logits: () => tf.sub(dy, tf.mul(tf.sum(dy, axis, true), tf.exp(output(y as tf.Tensor, () => tf.logSoftmax(logits as tf.Tensor, axis))))),
  }), { outputs: [true] }),
  // TensorFlow.js transposes the result once more when the axis is not the last.
  gradient<{ axis: number; exclusive: boolean; reverse: boolean }>('Cumsum', [], (dy, _, { axis, exclusive, reverse }) => ({ x: () => tf.cumsum(dy, axis, exclusive, !reverse) })),
  gradient<{ axis: number; exclusive: boolean; reverse: boolean }>('Cumprod', ['x'], (dy, [saved], { axis, exclusive, reverse }) => {
    const x = saved as tf.Tensor;
    const turn = (t: tf.Tensor): tf.Tensor => (reverse ? tf.reverse(t, 1) : t);
    const fold = (t: tf.Tensor): tf.Tensor => turn(tf.reshape(t, around(x.shape, axesOf(axis, x.shape)[0] as number)));
    return { x: () => tf.reshape(turn(cumulativeProduct(fold(x), fold(dy), exclusive)), x.shape) };
  }),
  gradient('ArgMax', ['x'], (_, [x]) => ({ x: () => noGradient(x as tf.Tensor) })),
  gradient('ArgMin', ['x'], (_, [x]) => ({ x: () => noGradient(x as tf.Tensor) })),
  {
    kernelName: 'TopK', inputsToSave: ['x'], outputsToSave: [false, true],
    gradFunc: (dys, [x, indices]) => ({ x: () => {
      const [dy] = dys as tf.Tensor[];
      return tf.sum(tf.mul(tf.expandDims(dy as tf.Tensor, -1), tf.oneHot(indices as tf.Tensor<tf.Rank>, (x as tf.Tensor).shape.at(-1) as number)), -2);
    } }),
  },
];
