/** What the gradients are written with. */
import * as tf from '../../tf.ts';

type Attributes = Readonly<Record<string, unknown>>;

/** Runs a kernel as an operation would, on the tape when one is open. */
export const kernel = (name: string, inputs: Readonly<Record<string, tf.Tensor>>, attributes: Attributes = {}): tf.Tensor =>
  tf.engine().runKernel(name, inputs, attributes as tf.NamedAttrMap);

/**
 * Declares the gradient of a kernel.
 * @param saved names of the inputs that `gradient` needs, in the order it receives them
 * @param gradient for each input that has one, a function of nothing that returns it
 * @param options.outputs which outputs it needs too, after the inputs
 */
export const gradient = <A = Attributes>(
  kernelName: string, saved: readonly string[], gradient: (dy: tf.Tensor, saved: tf.Tensor[], attributes: A) => Record<string, () => tf.Tensor>, { outputs }: { outputs?: boolean[] } = {},
): tf.GradConfig => ({
  kernelName, inputsToSave: [...saved], ...(outputs && { outputsToSave: outputs }),
  gradFunc: (dy, tensors, attributes) => gradient(dy as tf.Tensor, tensors, attributes as A),
});

/** Sums over the axes along which `shape` was broadcast, so that the result has that shape. */
export const sumTo = (x: tf.Tensor, shape: readonly number[]): tf.Tensor => {
  const axes = tf.broadcast_util.getReductionAxes([...shape], x.shape);
  return tf.reshape(axes.length > 0 ? tf.sum(x, axes) : x, [...shape]);
};

/**
 * The output of a kernel that its gradient is written in. A saved output is a constant of the tape that recorded it (TensorFlow.js copies it before the kernel
 * itself is on the tape, so a second derivative would silently miss it); where the gradient is itself being differentiated, it is computed anew.
 */
export const output = (saved: tf.Tensor, again: () => tf.Tensor): tf.Tensor => (tf.engine().isTapeOn() ? again() : saved);

/** Zeros of a shape, float32 as the tape wants it, whatever the dtype of `like`. */
export const noGradient = (like: tf.Tensor): tf.Tensor => tf.cast(tf.zerosLike(like), 'float32');

/** How much lies before and behind an axis: [before, n, behind]. */
export const around = (shape: readonly number[], axis: number): [number, number, number] =>
  [tf.util.sizeFromShape(shape.slice(0, axis)), shape[axis] as number, tf.util.sizeFromShape(shape.slice(axis + 1))];

/** `axes` of a tensor of rank `rank`, as positive numbers in order; all of them when undefined. */
export const axesOf = (axes: number | readonly number[] | null | undefined, shape: readonly number[]): number[] =>
  tf.util.parseAxisParam((axes ?? shape.map((_, i) => i)) as number | number[], [...shape]).toSorted((a, b) => a - b);

/** `shape` with the given axes made 1. */
export const keptShape = (shape: readonly number[], axes: readonly number[]): number[] => shape.map((size, i) => (axes.includes(i) ? 1 : size));
