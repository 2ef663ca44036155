import { pipe } from 'rxjs';
import * as tf from '../../src/tf.ts';
import { weighted } from '../../src/losses/objective.ts';
import { gaussian, zeros } from '../../src/models/init.ts';
import { makeNet } from '../../src/models/net.ts';
import { type Layer, type Scope, buildNetwork, param } from '../../src/models/network.ts';
import { attend, conv2d, geluTanh, joinHeads, layerNorm, linear, silu, splitHeads } from '../../src/models/nn.ts';
import { backward } from '../../src/operators/backward.ts';
import { adamw } from '../../src/optim/adamw.ts';
import { fold, seeded, uniform } from '../../src/random.ts';
import type { Batch } from '../../src/streams/frames.ts';
import { settle } from '../../src/streams/settle.ts';
import { type Workload, gaussianValues, place } from './workload.ts';

type Latents = Batch & Readonly<{ noisy: tf.Tensor4D; t: tf.Tensor1D; velocity: tf.Tensor4D }>;

const shape: [number, number, number, number] = [8, 32, 32, 4];
const key = fold(seeded(0), 'dit');
const [hidden, heads, depth, patch] = [192, 3, 6, 2] as const;

/** [cos, sin] of 1000 t exp(-ln(10000) k / 128), k = 0..127: [B] to [B, 256]. */
const sinusoids = (t: tf.Tensor1D): tf.Tensor2D => {
  const angles = tf.mul(tf.reshape(t, [-1, 1]), tf.tensor2d(Array.from({ length: 128 }, (_, k) => 1000 * Math.exp(-Math.log(10_000) * k / 128)), [1, 128]));
  return tf.concat([tf.cos(angles), tf.sin(angles)] as tf.Tensor2D[], 1);
};

/** `parts` vectors per image from its condition, each [B, 1, hidden]; all zero at the start. */
const modulation = (scope: Scope, parts: number): Layer<[tf.Tensor], tf.Tensor[]> => {
  const project = linear(scope, { from: hidden, to: parts * hidden, init: zeros, biasInit: zeros });
  return (params, condition) => tf.split(tf.expandDims(project(params, silu(condition)), 1), parts, 2);
};

const block = (scope: Scope): Layer<[tf.Tensor, tf.Tensor], tf.Tensor> => {
  const normalise = (name: string) => layerNorm(scope.at(name), { channels: hidden, affine: false, eps: 1e-6 });
  const [norm1, norm2, modulate] = [normalise('norm1'), normalise('norm2'), modulation(scope.at('modulate'), 6)];
  const [qkv, project] = [linear(scope.at('qkv'), { from: hidden, to: 3 * hidden }), linear(scope.at('project'), { from: hidden, to: hidden })];
  const [widen, narrow] = [linear(scope.at('widen'), { from: hidden, to: 4 * hidden }), linear(scope.at('narrow'), { from: 4 * hidden, to: hidden })];
  return (params, x, condition) => {
    const [shift1, scale1, gate1, shift2, scale2, gate2] = modulate(params, condition) as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
    const h1 = tf.add(tf.mul(norm1(params, x), tf.add(1, scale1)), shift1);
    const [q, k, v] = tf.split(qkv(params, h1), 3, 2).map((part) => splitHeads(part, heads)) as [tf.Tensor, tf.Tensor, tf.Tensor];
    const attended = tf.add(x, tf.mul(gate1, project(params, joinHeads(attend(q, k, v)))));
    const h2 = tf.add(tf.mul(norm2(params, attended), tf.add(1, scale2)), shift2);
    return tf.add(attended, tf.mul(gate2, narrow(params, geluTanh(widen(params, h2)))));
  };
};

const network = () => buildNetwork('dit', { hidden, heads, depth, patch }, (root) => {
  const [, height, width, channels] = shape;
  const [rows, columns] = [height / patch, width / patch];
  const embed = conv2d(root.at('embed'), { from: channels, to: hidden, kernel: patch, stride: patch });
  const positions = root.param('positions', [1, rows * columns, hidden], gaussian(0.02));
  const [time1, time2] = [linear(root.at('time1'), { from: 256, to: hidden }), linear(root.at('time2'), { from: hidden, to: hidden })];
  const blocks = Array.from({ length: depth }, (_, i) => block(root.at('blocks').at(i)));
  const normOut = layerNorm(root.at('normOut'), { channels: hidden, affine: false, eps: 1e-6 });
  const [modulateOut, out] = [modulation(root.at('modulateOut'), 2), linear(root.at('out'), { from: hidden, to: patch * patch * channels })];
  return (params, x: tf.Tensor4D, t: tf.Tensor1D): tf.Tensor4D => {
    const condition = time2(params, silu(time1(params, sinusoids(t))));
    const tokens = tf.add(tf.reshape(embed(params, x), [-1, rows * columns, hidden]), param(params, positions));
    const h = blocks.reduce<tf.Tensor>((tokens, layer) => layer(params, tokens, condition), tokens);
    const [shift, scale] = modulateOut(params, condition) as [tf.Tensor, tf.Tensor];
    const pixels = out(params, tf.add(tf.mul(normOut(params, h), tf.add(1, scale)), shift));
    const grid = tf.transpose(tf.reshape(pixels, [-1, rows, columns, patch, patch * channels]), [0, 1, 3, 2, 4]);
    return tf.reshape(grid, [-1, height, width, channels]);
  };
});

/** A diffusion transformer of 6 blocks on 32 px latents of 4 channels: flow matching with noise and times drawn anew each step, AdamW. */
export const dit: Workload<Latents> = {
  name: 'dit',
  batch: 8,
  parameters: { dit: 4_214_608 },
  loss: 'dit.l2',
  start: () => {
    const net = makeNet(network(), { key, optimizer: adamw({ weightDecay: 0 }), lr: () => 1e-4 });
    const x1 = gaussianValues(fold(key, 'x1'), shape);
    const frame = (step: number): Latents => tf.tidy(() => {
      const [data, noise] = [tf.tensor4d(x1, shape), tf.tensor4d(gaussianValues(fold(key, 'x0', step), shape), shape)];
      const t = tf.tensor1d(uniform(fold(key, 't', step), 8));
      const share = tf.reshape(t, [-1, 1, 1, 1]);
      const noisy = tf.add(tf.mul(tf.sub(1, share), noise), tf.mul(share, data)) as tf.Tensor4D;
      return { noisy, t, velocity: tf.sub(data, noise) };
    }) as unknown as Latents;
    return {
      nets: [net],
      frame: (step) => ({ ...place(step, 8), ...frame(step) }),
      train: pipe(
        backward(net, (velocity, { noisy, t }: Latents) => ({ predicted: velocity(noisy, t) }), weighted({
          l2: [1, ({ predicted, velocity }) => tf.mean(tf.squaredDifference(predicted, velocity))],
        })),
        settle(),
      ),
    };
  },
};
