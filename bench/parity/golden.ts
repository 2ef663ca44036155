/** A golden: inputs, weights, outputs and gradients computed by a reference implementation, and the manifest that says what they are. */
import { readFile, readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import type { StateDict } from '../../src/models/net.ts';
import type { Network } from '../../src/models/network.ts';
import { readStateDict } from '../../src/models/weights/safetensors.ts';
import * as tf from '../../src/tf.ts';

/** `manifest.json`, as far as all kinds share it. */
export type Manifest = Readonly<{
  name: string;
  source?: Readonly<Record<string, unknown>>;
  config: Readonly<Record<string, unknown>>;
  config_json?: Readonly<Record<string, unknown>>;
  tolerance?: Readonly<Record<string, unknown>>;
  gradient_of?: string;
  weight_order?: unknown;
  files: readonly Readonly<{ file: string; role: string }>[];
}> & Readonly<Record<string, unknown>>;

export type Golden = Readonly<{
  folder: string;
  /** Name of the folder that holds it: `models`, `schedulers`, ... */
  group: string;
  manifest: Manifest;
  /** State dict of the reference; empty where there is none. */
  weights: StateDict;
  /** Inputs, outputs, gradients and intermediate values by name, in the reference's layout (NCHW). */
  io: StateDict;
}>;

/** How far one tensor is from the reference's, and how far it may be. */
export type Comparison = Readonly<{ name: string; error: number; limit: number; note?: string }>;

/** What runs goldens of one kind. */
export type Handler = Readonly<{
  kind: string;
  matches: (golden: Pick<Golden, 'group' | 'manifest'>) => boolean;
  run: (golden: Golden) => Promise<readonly Comparison[]>;
}>;

/** Every folder with a manifest, at any depth below `root` (or `root` itself), in order of path. */
export const findGoldens = async (root: string): Promise<string[]> => {
  const entries = await readdir(root, { withFileTypes: true });
  if (entries.some((entry) => entry.name === 'manifest.json')) return [root];
  const below = await Promise.all(entries.filter((entry) => entry.isDirectory() || entry.isSymbolicLink()).map(({ name }) => findGoldens(join(root, name)).catch(() => [])));
  return below.flat().sort();
};

const readRole = async (folder: string, manifest: Manifest, role: string): Promise<StateDict> => {
  const parts = await Promise.all(manifest.files.filter((file) => file.role === role).map(({ file }) => readStateDict(join(folder, file))()));
  return Object.assign({}, ...parts.map((part) => {
    if (E.isLeft(part)) throw part.left;
    return part.right;
  })) as StateDict;
};

/** Python writes numbers that JSON does not have; they arrive as strings. */
const quoteNonFinite = (json: string): string => json.replace(/(?<=[:[,]\s*)(-?Infinity|NaN)(?=\s*[,}\]])/g, '"$1"');

export const readManifest = async (folder: string): Promise<Pick<Golden, 'folder' | 'group' | 'manifest'>> =>
  ({ folder, group: basename(dirname(folder)), manifest: JSON.parse(quoteNonFinite(await readFile(join(folder, 'manifest.json'), 'utf8'))) as Manifest });

/** Reads a golden whole. @throws WeightsError for a damaged file */
export const readGolden = async (folder: string): Promise<Golden> => {
  const head = await readManifest(folder);
  const [weights, io] = await Promise.all([readRole(folder, head.manifest, 'weights'), readRole(folder, head.manifest, 'io')]);
  return { ...head, weights, io };
};

/** The constructor arguments, from `config.init` or `config_json`. */
export const initOf = ({ manifest: { config } }: Pick<Golden, 'manifest'>): Readonly<Record<string, unknown>> => (config['init'] ?? config) as Record<string, unknown>;

/** A named tensor as it is stored. @throws TypeError when the golden lacks it */
export const tensorOf = <R extends tf.Rank = tf.Rank>({ io, manifest }: Pick<Golden, 'io' | 'manifest'>, name: string, dtype: 'float32' | 'int32' = 'float32'): tf.Tensor<R> => {
  const value = io[name];
  if (value === undefined) throw new TypeError(`${manifest.name}: the golden has no tensor ${name}`);
  return tf.tensor<R>(dtype === 'int32' ? Int32Array.from(value.data) : value.data, [...value.shape] as tf.ShapeMap[R], dtype);
};

export const toNhwc = (x: tf.Tensor): tf.Tensor => (x.rank === 4 ? tf.transpose(x, [0, 2, 3, 1]) : x);
export const toNchw = (x: tf.Tensor): tf.Tensor => (x.rank === 4 ? tf.transpose(x, [0, 3, 1, 2]) : x);

/** A named image or activation, from NCHW to NHWC. */
export const imageOf = (golden: Pick<Golden, 'io' | 'manifest'>, name: string): tf.Tensor4D => toNhwc(tensorOf(golden, name)) as tf.Tensor4D;

/** A number of the manifest's `tolerance`, or `fallback` where it gives none. */
export const toleranceOf = ({ manifest }: Pick<Golden, 'manifest'>, name: string, fallback: number): number => {
  const value = manifest.tolerance?.[name];
  return typeof value === 'number' ? value : fallback;
};

type Generator = (k: number, seed: number) => () => number;

/** Numbers in [-1, 1) for tensor number `k`, by a linear congruential generator. */
const generator: Generator = (k, seed) => {
  let x = (k * 7919 + seed) >>> 0;
  return () => {
    x = (Math.imul(1_664_525, x) + 1_013_904_223) >>> 0;
    return (x / 2 ** 32 - 0.5) * 2;
  };
};

/**
 * Weights of goldens that store none (`generated_weights` in the manifest): tensor number k is the k-th in order of name. Gains are about 1, other vectors
 * small, the rest scaled by the root of its inputs. Integers, such as counts of batches, are zero.
 * @throws TypeError when the network has another number of tensors than the reference
 */
export const ruleWeights = (specs: Network<never, unknown>['specs'], { seed, tensors }: Readonly<{ seed: number; tensors: number }>): StateDict => {
  const names = [...specs.keys()].sort();
  if (names.length !== tensors) throw new TypeError(`expected ${tensors} tensors but the network has ${names.length}`);
  return Object.fromEntries(names.map((name, k) => {
    const { shape } = specs.get(name) as { shape: readonly number[] };
    const next = generator(k, seed);
    const size = shape.reduce((product, n) => product * n, 1);
    const scale = shape.length > 1 ? 1.2 / Math.sqrt(size / (shape[0] as number)) : shape.length === 1 && /\.(weight|running_var)$/.test(name) ? 0.1 : 0.05;
    const mean = shape.length === 1 && scale === 0.1 ? 1 : 0;
    const data = name.endsWith('.num_batches_tracked') ? new Float32Array(size) : Float32Array.from({ length: size }, () => mean + next() * scale);
    return [name, { shape, data }];
  }));
};

/**
 * Weights that are too large to store, from the generator the manifest names.
 * @param order name, shape and scale of each tensor, as `weight_order` lists them
 */
export const generatedWeights = (order: readonly Readonly<{ name: string; shape: readonly number[]; scale: number }>[], seed: number): StateDict =>
Object.fromEntries(order.map(({ name, shape, scale }, k) => {
  const next = generator(k, seed);
  const data = Float32Array.from({ length: shape.reduce((product, n) => product * n, 1) }, () => next() * scale);
  return [name, { shape, data }];
}));
