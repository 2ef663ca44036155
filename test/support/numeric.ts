/** Numerical oracles: random inputs without kinks, finite differences, and comparison of arrays. */
import * as tf from '../../src/tf.ts';
import { gradientsOf } from '../../src/models/tape.ts';
import { type Key, fold, normal, permute, seeded, uniform } from '../../src/random.ts';

/** A random input. Values are distinct, spread evenly over low..high, and at least `gap` from zero, so that a small step meets neither a tie nor a kink at 0. */
export type Input = Readonly<{
  shape: readonly number[];
  low?: number;
  high?: number;
  gap?: number;
  dtype?: 'float32' | 'int32' | 'bool';
}>;

/** Values of an input, as float32; integers in low..high - 1 (with ties) for int32, 0 and 1 for bool. */
export const draw = (key: Key, { shape, low = -1, high = 1, gap = 0.05, dtype = 'float32' }: Input): Float32Array => {
  const size = tf.util.sizeFromShape([...shape]);
  if (dtype === 'bool') return uniform(key, size).map((x) => (x < 0.5 ? 0 : 1));
  if (dtype === 'int32') return uniform(key, size).map((x) => Math.floor(low + x * (high - low)));
  return Float32Array.from({ length: size }, (_, i) => {
    const x = low + (high - low) * (permute(key, size, i) + 0.5) / size;
    return low < 0 && high > 0 ? x + (Math.sign(x) || 1) * gap : x;
  });
};

/** Makes the tensor of an input from its values. */
export const tensorOf = ({ shape, dtype = 'float32' }: Input, values: Float32Array): tf.Tensor =>
  tf.tensor(dtype === 'float32' ? values.slice() : Int32Array.from(values), [...shape], dtype);

/** What a case computes: one tensor or several. */
export type Compute = (...inputs: tf.Tensor[]) => tf.Tensor | tf.Tensor[];

const outputsOf = (value: tf.Tensor | tf.Tensor[]): tf.Tensor[] => (Array.isArray(value) ? value : [value]);

/** Runs `compute` on fresh tensors and downloads its outputs, with their shapes and dtypes. */
export const evaluate = async (compute: Compute, inputs: readonly Input[], values: readonly Float32Array[]): Promise<{ shape: number[]; dtype: string; data: ArrayLike<number> }[]> => {
  const outputs = tf.tidy(() => outputsOf(compute(...inputs.map((input, i) => tensorOf(input, values[i] as Float32Array)))));
  try {
    return await Promise.all(outputs.map(async (output) => ({ shape: [...output.shape], dtype: output.dtype as string, data: await output.data() })));
  } finally {
    tf.dispose(outputs);
  }
};

/** Weights that turn the outputs into one number; the same for the same sizes. */
const projection = (index: number, size: number): Float32Array => normal(fold(seeded(11), 'projection', index), size);

/** The gradient of the projected outputs, by the tape: one array for each input in `by`. */
export const analyticGradients = async (compute: Compute, inputs: readonly Input[], values: readonly Float32Array[], by: readonly number[]): Promise<Float32Array[]> => {
  const grads = tf.tidy(() => {
    const tensors = inputs.map((input, i) => tensorOf(input, values[i] as Float32Array));
    return gradientsOf(by.map((i) => tensors[i] as tf.Tensor), () => {
      const terms = outputsOf(compute(...tensors)).filter(({ dtype }) => dtype === 'float32')
        .map((output, i) => tf.sum(tf.mul(output, tf.tensor(projection(i, output.size), output.shape))));
      return { loss: terms.reduce((a, b) => tf.add(a, b)) as tf.Scalar, extra: {} };
    }).grads;
  });
  try {
    return await Promise.all(grads.map(async (grad) => await grad.data() as Float32Array));
  } finally {
    tf.dispose(grads);
  }
};

/** The largest difference between two arrays, in units of the larger of `floor` and the second's largest magnitude. NaN when only one has a NaN somewhere. */
export const relativeError = (actual: ArrayLike<number>, expected: ArrayLike<number>, floor = 1e-3): number => {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let [scale, worst] = [floor, 0];
  for (let i = 0; i < expected.length; i++) if (Number.isFinite(expected[i])) scale = Math.max(scale, Math.abs(expected[i] as number));
  for (let i = 0; i < expected.length; i++) {
    const [a, b] = [actual[i] as number, expected[i] as number];
    if (Object.is(a, b) || a === b) continue;
    const difference = Math.abs(a - b);
    if (Number.isNaN(difference) || difference === Infinity) return Number.POSITIVE_INFINITY;
    worst = Math.max(worst, difference / scale);
  }
  return worst;
};

/**
 * Compares the tape's gradients with five-point finite differences of the outputs, which are summed in double precision.
 * @param by which inputs to differentiate by
 * @param step of the differences; the error is of order step^4, and of order 1e-7 / step for the float32 of the outputs
 * @param elements how many places of each input to try
 * @returns the largest error, relative to the largest gradient of that input (or 0.01)
 */
export const gradientError = async (compute: Compute, inputs: readonly Input[], { by, step = 2e-2, elements = 24 }: { by: readonly number[]; step?: number; elements?: number }): Promise<number> => {
  const values = inputs.map((input, i) => draw(fold(seeded(5), 'input', i), input));
  const analytic = await analyticGradients(compute, inputs, values, by);
  const project = async (input: number, place: number, offset: number): Promise<number> => {
    const moved = values.map((array, i) => (i === input ? array.with(place, (array[place] as number) + offset) : array));
    const outputs = await evaluate(compute, inputs, moved);
    return outputs.filter(({ dtype }) => dtype === 'float32').reduce((sum, { data }, i) => {
      const weights = projection(i, data.length);
      let total = sum;
      for (let j = 0; j < data.length; j++) total += (data[j] as number) * (weights[j] as number);
      return total;
    }, 0);
  };
  let worst = 0;
  for (const [i, input] of by.entries()) {
    const size = (values[input] as Float32Array).length;
    const places = Array.from({ length: Math.min(size, elements) }, (_, j) => permute(fold(seeded(6), input), size, j));
    const expected: number[] = [];
    for (const place of places) {
      // The step that float32 really makes.
      const at = (values[input] as Float32Array)[place] as number;
      const real = (offset: number): number => Math.fround(at + offset) - at;
      const [f1, b1, f2, b2] = [await project(input, place, step), await project(input, place, -step), await project(input, place, 2 * step), await project(input, place, -2 * step)];
      const near = (f1 - b1) / (real(step) - real(-step));
      const far = (f2 - b2) / (real(2 * step) - real(-2 * step));
      expected.push((4 * near - far) / 3);
    }
    worst = Math.max(worst, relativeError(places.map((place) => (analytic[i] as Float32Array)[place] as number), expected, 0.01));
  }
  return worst;
};

/** The gradients of a computation, as a computation: its finite differences prove second derivatives. */
export const gradientOf = (compute: Compute, by: readonly number[]): Compute => (...inputs) =>
  gradientsOf(by.map((i) => inputs[i] as tf.Tensor), () => {
    const terms = outputsOf(compute(...inputs)).filter(({ dtype }) => dtype === 'float32')
      .map((output, i) => tf.sum(tf.mul(output, tf.tensor(projection(i, output.size), output.shape))));
    return { loss: terms.reduce((a, b) => tf.add(a, b)) as tf.Scalar, extra: {} };
  }).grads;
