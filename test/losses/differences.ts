/** Gradients held against finite differences. */
import { gradientsOf } from '../../src/models/tape.ts';
import { normal, seeded, uniform } from '../../src/random.ts';
import * as tf from '../../src/tf.ts';

/** Unit-normal values of a shape, from a seed. */
export const drawn = <R extends tf.Rank>(seed: number, shape: tf.ShapeMap[R]): tf.Tensor<R> => tf.tensor<R>(normal(seeded(seed), tf.util.sizeFromShape(shape)), shape);

/** Uniform values in -1..1. */
export const image = (seed: number, shape: [number, number, number, number]): tf.Tensor4D => tf.tensor4d(uniform(seeded(seed), tf.util.sizeFromShape(shape)).map((u) => 2 * u - 1), shape);

/**
 * The largest difference between the slope along random directions that the gradient predicts and the one that central differences find, relative to the
 * gradient's length. Frees `x`.
 * @param step length of a difference; float32 leaves about 1e-7 / step of each value in its error
 */
export const differsFromDifferences = async (f: (x: tf.Tensor) => tf.Tensor, x: tf.Tensor, { step = 1e-2, directions = 6 }: { step?: number; directions?: number } = {}): Promise<number> => {
  const { shape } = x;
  const at = Float64Array.from(await x.data());
  const read = async (make: () => tf.Tensor): Promise<Float64Array> => {
    const value = tf.tidy(make);
    const numbers = Float64Array.from(await value.data());
    value.dispose();
    return numbers;
  };
  // One value at a time, so that a lazy engine compiles one graph and not one of all of them.
  const along = async (direction: Float64Array, by: number): Promise<number> =>
    (await read(() => tf.sum(f(tf.tensor(Float32Array.from(at, (value, i) => value + by * (direction[i] as number)), shape)))))[0] as number;
  const gradient = await read(() => gradientsOf([x], () => ({ loss: tf.sum(f(x)) as tf.Scalar, extra: undefined })).grads[0] as tf.Tensor);
  x.dispose();
  const length = Math.hypot(...gradient);
  let worst = 0;
  for (let i = 0; i < directions; i++) {
    const random = normal(seeded(100 + i), at.length);
    const size = Math.hypot(...random);
    // Halves of a direction to the gradient's own side, so that the predicted slope is never near 0 by chance.
    const direction = Float64Array.from(random, (value, j) => value / size + (gradient[j] as number) / (length + 1e-12));
    const predicted = direction.reduce((sum, value, j) => sum + value * (gradient[j] as number), 0);
    worst = Math.max(worst, Math.abs(predicted - (await along(direction, step) - await along(direction, -step)) / (2 * step)));
  }
  return worst / Math.max(1e-6, length);
};
