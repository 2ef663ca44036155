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
  const sums = tf.tidy(() => {
    const total = (at: tf.Tensor): tf.Scalar => tf.sum(f(at));
    const { grads: [gradient] } = gradientsOf([x], () => ({ loss: total(x), extra: undefined }));
    const length = tf.norm(gradient as tf.Tensor);
    const errors = Array.from({ length: directions }, (_, i) => {
      // Halves of a direction to the gradient's own side, so that the predicted slope is never near 0 by chance.
      const random = drawn(100 + i, x.shape as [number]);
      const direction = tf.add(tf.div(random, tf.norm(random)), tf.div(gradient as tf.Tensor, tf.add(length, 1e-12)));
      const predicted = tf.sum(tf.mul(gradient as tf.Tensor, direction));
      const found = tf.div(tf.sub(total(tf.add(x, tf.mul(direction, step))), total(tf.sub(x, tf.mul(direction, step)))), 2 * step);
      return tf.abs(tf.sub(predicted, found));
    });
    return tf.stack([length, tf.max(tf.stack(errors))]);
  });
  const [length, worst] = await sums.data() as unknown as [number, number];
  sums.dispose();
  x.dispose();
  return worst / Math.max(1e-6, length);
};
