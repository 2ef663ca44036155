/** A run folder in a temporary place, and a net small enough to train in a test. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import type { TaskEither } from 'fp-ts/lib/TaskEither.js';
import * as tf from '../../src/tf.ts';
import { gaussian, zeros } from '../../src/models/init.ts';
import { type Net, makeNet } from '../../src/models/net.ts';
import { buildNetwork, param } from '../../src/models/network.ts';
import { conv2d } from '../../src/models/nn.ts';
import type { Optimizer } from '../../src/optim/optimizer.ts';
import { seeded } from '../../src/random.ts';
import { type RunFolder, createRunFolder } from '../../src/run/runFolder.ts';
import { type Resource, free } from '../../src/streams/scoped.ts';

/** The value of a task that must succeed. */
export const right = async <A>(task: TaskEither<Error, A>): Promise<A> => {
  const result = await task();
  if (E.isLeft(result)) throw result.left;
  return result.right;
};

/** The error of a task that must fail. */
export const left = async <X extends Error>(task: TaskEither<X, unknown>): Promise<X> => {
  const result = await task();
  if (E.isRight(result)) throw new Error(`expected an error but received ${JSON.stringify(result.right)}`);
  return result.left;
};

/** Runs `use` with a fresh run folder, then removes it. */
export const withRun = (use: (run: RunFolder) => Promise<void>, config: unknown = { seed: 7 }) => async (): Promise<void> => {
  const root = await mkdtemp(join(tmpdir(), 'millrace-'));
  try {
    await use(await right(createRunFolder({ root, method: 'tiny', config, env: {} })));
  } finally {
    await rm(root, { recursive: true, force: true });
  }
};

/** Gradient descent with momentum, as the flat rule that a net asks for. */
export const momentum: Optimizer = {
  name: 'momentum',
  slots: { velocity: 0 },
  update: (weights, gradient, { velocity }, lr) => {
    const next = tf.add(tf.mul(velocity as tf.Tensor1D, 0.9), gradient) as tf.Tensor1D;
    return { weights: tf.sub(weights, tf.mul(next, lr)) as tf.Tensor1D, slots: { velocity: next } };
  },
};

/** Two convolutions and a gain that is not trained: float32 [B, H, W, 3] to the same. */
export const tinyNetwork = buildNetwork('tiny', { width: 2 }, (root) => {
  const first = conv2d(root.at('first'), { from: 3, to: 2, kernel: 3, padding: 1, init: gaussian(0.3) });
  const last = conv2d(root.at('last'), { from: 2, to: 3, kernel: 1, init: gaussian(0.3), biasInit: zeros });
  const gain = root.param('gain', [1], () => Float32Array.of(0.5), { buffer: true });
  return (params, x: tf.Tensor4D) => tf.add(x, tf.mul(last(params, tf.relu(first(params, x)) as tf.Tensor4D), param(params, gain))) as tf.Tensor4D;
});

export type TinyNets = Readonly<{ generator: Net<[tf.Tensor4D], tf.Tensor4D>; replay: Resource }>;

/** A trained net with an EMA, and a resource that is no net. */
export const tinyNets = (seed = 7): TinyNets => ({
  generator: makeNet(tinyNetwork, { key: seeded(seed), optimizer: momentum, lr: () => 0.05, shadow: true }),
  replay: {
    variables: {
      images: tf.tidy(() => tf.variable(tf.linspace(0, seed, 12).reshape([1, 2, 2, 3]), false)),
      filled: tf.tidy(() => tf.variable(tf.scalar(seed, 'int32'), false, undefined, 'int32')),
    },
  },
});

/** Every value of every variable, by name. */
export const valuesOf = async (resources: Readonly<Record<string, Resource>>): Promise<Record<string, number[]>> => {
  const out: Record<string, number[]> = {};
  for (const [name, { variables }] of Object.entries(resources)) {
    for (const [key, variable] of Object.entries(variables)) out[`${name}/${key}`] = [...await variable.data()];
  }
  return out;
};

/** Runs `use` with nets that are freed afterwards. */
export const withNets = async <T>(nets: TinyNets, use: (nets: TinyNets) => Promise<T>): Promise<T> => {
  try { return await use(nets); } finally { free(nets); }
};
