/** How results are held against a golden: outputs, named intermediate values, gradients. */
import { gradientsOf } from '../../src/models/tape.ts';
import type { StateDict } from '../../src/models/net.ts';
import { type Network, type Params, tap } from '../../src/models/network.ts';
import { checkStateDict } from '../../src/models/weights/report.ts';
import * as tf from '../../src/tf.ts';
import { type Comparison, type Golden, ruleWeights, tensorOf, toNchw, toNhwc, toleranceOf } from './golden.ts';

/** max|a - b| / max(1e-6, max|b|); infinite when the sizes differ or a value is not a number. */
export const relativeError = (ours: ArrayLike<number>, theirs: ArrayLike<number>): number => {
  if (ours.length !== theirs.length) return Infinity;
  let difference = 0;
  let scale = 1e-6;
  for (let i = 0; i < theirs.length; i++) {
    const gap = Math.abs((ours[i] as number) - (theirs[i] as number));
    if (!(gap < Infinity)) return Infinity;
    difference = Math.max(difference, gap);
    scale = Math.max(scale, Math.abs(theirs[i] as number));
  }
  return difference / scale;
};

/** Compares a tensor in the reference's layout with the golden's tensor of that name; a shape that differs is an infinite error. */
export const compareTensor = async (golden: Pick<Golden, 'io' | 'manifest'>, name: string, ours: tf.Tensor, limit: number): Promise<Comparison> => {
  const theirs = golden.io[name];
  if (theirs === undefined) throw new TypeError(`${golden.manifest.name}: the golden has no tensor ${name}`);
  const same = ours.size === theirs.data.length && squeezed(ours.shape) === squeezed(theirs.shape);
  if (!same) return { name, error: Infinity, limit, note: `shape [${ours.shape.join(', ')}], not [${theirs.shape.join(', ')}]` };
  return { name, error: relativeError(await ours.data(), theirs.data), limit };
};

const squeezed = (shape: readonly number[]): string => shape.filter((size) => size !== 1).join(',');

/** Ways in which a value inside a network may lie: activations are [B, H, W, C] or [B, N, C] here; there they are [B, C, H, W], or tokens, or as they are here. */
const readings = (x: tf.Tensor): tf.Tensor[] => {
  if (x.rank === 3) return [x, tf.transpose(x, [0, 2, 1])];
  if (x.rank !== 4) return [x];
  const [b, h, w, c] = x.shape as [number, number, number, number];
  const tokens = tf.reshape(x, [b, h * w, c]);
  return [tf.transpose(x, [0, 3, 1, 2]), x, tokens, tf.transpose(tokens, [0, 2, 1])];
};

/** Compares a value inside the network, in whichever layout its module has there; the best of those whose shape fits. */
const compareMid = async (golden: Golden, name: string, ours: tf.Tensor, limit: number): Promise<Comparison> => {
  const theirs = golden.io[name]?.shape ?? [];
  const all = readings(ours);
  const fitting = all.filter(({ shape }) => shape.join() === theirs.join());
  const tried = await Promise.all((fitting.length > 0 ? fitting : all.slice(0, 1)).map((x) => compareTensor(golden, name, x, limit)));
  tf.dispose(all.filter((x) => x !== ours));
  return tried.reduce((best, next) => (next.error < best.error ? next : best));
};

/** Tensors by dotted path: a record's or array's parts under their names or positions. */
const flattened = (path: string, value: unknown): [string, tf.Tensor][] => {
  if (value instanceof tf.Tensor) return [[path, value]];
  if (Array.isArray(value)) return value.flatMap((item, i) => flattened(`${path}.${i}`, item));
  if (value !== null && typeof value === 'object') return Object.entries(value).flatMap(([name, item]) => flattened(`${path}.${name}`, item));
  return [];
};

/** A state dict as tensors. Call inside a tidy. */
export const paramsFrom = (weights: StateDict): Params => Object.fromEntries(Object.entries(weights).map(([name, { shape, data }]) => [name, tf.tensor(data, [...shape], 'float32')]));

type Tensors = Readonly<Record<string, tf.Tensor>>;

const weightsOf = ({ manifest, weights }: Golden, { specs }: Pick<Network<never, unknown>, 'specs'>): StateDict => {
  const rule = manifest['generated_weights'] as Parameters<typeof ruleWeights>[1] | undefined;
  return rule ? ruleWeights(specs, rule) : weights;
};

/**
 * Runs a network on a golden: weights are loaded strictly; outputs, every `mid.*` and every `grad.*` the golden has are compared.
 * @param network built from the golden's configuration
 * @param forward runs it; given the parameters and the `input.*` of the golden by name (rank-4 ones as NHWC), returns the outputs by name
 *   without `output.`; rank-4 ones are taken to be NHWC unless `layout` is `asIs`
 * @param options.weights state dict; the golden's by default
 * @param options.limits a tolerance of its own for some names
 * @param options.more further leaves whose `grad.param.*` the golden has, such as LoRA matrices
 */
export const compareNetwork = async (golden: Golden, network: Pick<Network<never, unknown>, 'name' | 'specs'>, forward: (params: Params, inputs: Tensors) => Tensors, {
  weights = weightsOf(golden, network), limits = {}, layout = 'nhwc', more = {},
}: { weights?: StateDict; limits?: Readonly<Record<string, number>>; layout?: 'nhwc' | 'asIs'; more?: StateDict } = {}): Promise<Comparison[]> => {
  checkStateDict(network, weights);
  const { io } = golden;
  const toReference = (x: tf.Tensor): tf.Tensor => (layout === 'nhwc' ? toNchw(x) : x);
  const forwardLimit = toleranceOf(golden, 'forward', 1e-4);
  const gradientLimit = toleranceOf(golden, 'gradient', 5e-4);
  const wantedMids = Object.keys(io).filter((name) => name.startsWith('mid.'));
  const results: Readonly<Record<string, tf.Tensor>> = tf.tidy(() => {
    const params = paramsFrom({ ...weights, ...more });
    const inputs = Object.fromEntries(Object.keys(io).filter((name) => name.startsWith('input.')).map((name) => {
      const value = tensorOf(golden, name);
      return [name.slice('input.'.length), layout === 'nhwc' ? toNhwc(value) : value];
    }));
    const mids: Record<string, tf.Tensor> = {};
    const first: Record<string, tf.Tensor> = {};
    const record = (module: string, value: unknown): void => {
      for (const [path, tensor] of flattened(`mid.${module}`, value)) if (path in io) mids[path] = tensor;
      // A module that returns one tensor here and a tuple there is compared by its first, unless a module has that very name.
      if (value instanceof tf.Tensor && `mid.${module}.0` in io) first[`mid.${module}.0`] = value;
    };
    const run = (given: Params): { outputs: Record<string, tf.Tensor>; mids: Record<string, tf.Tensor> } => {
      const outputs = forward({ ...given, [tap]: record }, inputs);
      return { outputs: Object.fromEntries(Object.entries(outputs).map(([name, value]) => [`output.${name}`, toReference(value)])), mids: { ...first, ...mids } };
    };
    const gradNames = Object.keys(io).filter((name) => name.startsWith('grad.'));
    if (gradNames.length === 0) {
      const { outputs, mids: reached } = run(params);
      return { ...outputs, ...mapped(reached, tf.clone) };
    }
    const leaves = gradNames.map((name) => {
      const leaf = name.startsWith('grad.input.') ? inputs[name.slice('grad.input.'.length)] : params[name.slice('grad.param.'.length)];
      if (leaf === undefined) throw new TypeError(`${golden.manifest.name}: nothing is called ${name}`);
      return leaf;
    });
    const of = golden.manifest.gradient_of ?? Object.keys(io).find((name) => name.startsWith('output.')) as string;
    const { loss, grads, extra } = gradientsOf(leaves, () => {
      const { outputs, mids: reached } = run(params);
      const output = outputs[of];
      if (output === undefined) throw new TypeError(`${golden.manifest.name}: the handler made no ${of}`);
      return { loss: tf.sum(tf.mul(output, tensorOf(golden, 'grad_seed'))) as tf.Scalar, extra: { ...outputs, ...reached } };
    });
    const inReference = grads.map((grad, i) => ((gradNames[i] as string).startsWith('grad.input.') ? toReference(grad) : grad));
    return { ...extra, ...Object.fromEntries(gradNames.map((name, i) => [name, inReference[i] as tf.Tensor])), ...('loss' in io && { loss }) };
  });
  try {
    const wanted = Object.keys(io).filter((name) => name.startsWith('output.') || name.startsWith('grad.') || name === 'loss').concat(wantedMids);
    const comparisons: Comparison[] = [];
    for (const name of wanted) {
      const limit = limits[name] ?? (name.startsWith('grad.') ? gradientLimit : forwardLimit);
      const ours = results[name];
      if (ours && name.startsWith('mid.')) comparisons.push(await compareMid(golden, name, ours, limit));
      else if (ours) comparisons.push(await compareTensor(golden, name, ours, name === 'loss' ? lossLimit(golden, forwardLimit) : limit));
      else comparisons.push({ name, error: Infinity, limit, note: 'not computed' });
    }
    return comparisons;
  } finally {
    tf.dispose(results);
  }
};

const mapped = (tensors: Readonly<Record<string, tf.Tensor>>, f: (x: tf.Tensor) => tf.Tensor): Record<string, tf.Tensor> =>
  Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, f(tensor)]));

/** The loss is a sum of signed terms and may nearly cancel: its rounding grows with their size, sqrt(sum of squares), not with the sum. */
const lossLimit = (golden: Golden, limit: number): number => {
  const of = golden.io[golden.manifest.gradient_of ?? '']?.data;
  const seed = golden.io['grad_seed']?.data;
  const loss = Math.abs(golden.io['loss']?.data[0] ?? 0);
  if (!of || !seed || of.length !== seed.length) return limit;
  const spread = Math.sqrt(of.reduce((sum, x, i) => sum + (x * (seed[i] as number)) ** 2, 0));
  return limit * Math.max(1, spread / Math.max(1e-6, loss));
};
