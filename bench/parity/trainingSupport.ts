/** What the handlers of training goldens share. */
import * as tf from '../../src/tf.ts';
import { relativeError } from './compare.ts';
import { type Comparison, type Golden, tensorOf, toleranceOf } from './golden.ts';

/** Values of a tensor of the golden. @throws TypeError when it has none of that name */
export const stored = ({ io, manifest }: Pick<Golden, 'io' | 'manifest'>, name: string): Float32Array => {
  const value = io[name];
  if (!value) throw new TypeError(`${manifest.name}: the golden has no tensor ${name}`);
  return value.data;
};

/** Entry k along the first axis, [B, C, H, W], as NHWC. */
export const entry = (golden: Pick<Golden, 'io' | 'manifest'>, name: string, k: number): tf.Tensor4D => tf.transpose(slab(golden, name, k), [0, 2, 3, 1]);

const slab = (golden: Pick<Golden, 'io' | 'manifest'>, name: string, k: number): tf.Tensor4D => {
  const shape = golden.io[name]?.shape.slice(1) as [number, number, number, number];
  const size = shape.reduce((a, b) => a * b, 1);
  return tf.tensor4d(stored(golden, name).slice(k * size, (k + 1) * size), shape);
};

/** A rank-4 tensor as NHWC. */
export const image = (golden: Pick<Golden, 'io' | 'manifest'>, name: string): tf.Tensor4D => tf.transpose(tensorOf<tf.Rank.R4>(golden, name), [0, 2, 3, 1]);

/** Back to the golden's layout. */
export const nchw = (x: tf.Tensor4D): tf.Tensor4D => tf.transpose(x, [0, 3, 1, 2]);

type Given = tf.Tensor | ArrayLike<number>;

/** Which function of a repository a golden is from. */
export const from = ({ manifest: { source } }: Pick<Golden, 'manifest'>, repo: string, text = ''): boolean =>
  source?.['repo'] === repo && `${String(source['file'])} ${String(source['function'])}`.includes(text);

/**
 * Computes and compares by name: `compute` runs in a tidy and returns numbers or tensors in the golden's layout. Names the golden lacks are skipped;
 * an output of the golden that nothing was computed for fails.
 * @param given names (or beginnings of names) that are inputs
 */
export const compareAll = async (golden: Golden, given: readonly string[], compute: () => Readonly<Record<string, Given>>, limitOf: (name: string) => number = () => toleranceOf(golden, 'forward', 1e-4)): Promise<Comparison[]> => {
  const ours = tf.tidy(() => compute() as unknown as tf.TensorContainer) as unknown as Record<string, Given>;
  try {
    const comparisons: Comparison[] = [];
    for (const name of Object.keys(golden.io)) {
      if (given.some((prefix) => name === prefix || (prefix.endsWith('*') && name.startsWith(prefix.slice(0, -1))))) continue;
      const value = ours[name];
      const limit = limitOf(name);
      comparisons.push(value === undefined ? { name, error: Infinity, limit, note: 'not computed' } : { name, error: relativeError(value instanceof tf.Tensor ? await value.data() : value, stored(golden, name)), limit });
    }
    return comparisons;
  } finally {
    tf.dispose(Object.values(ours).filter((value) => value instanceof tf.Tensor) as tf.Tensor[]);
  }
};
