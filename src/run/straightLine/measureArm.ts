/** What one autoencoder of the straight-line experiment is like on pairs: pictures it makes, and how its latents lie. */
import * as tf from '../../tf.ts';
import { straightness } from '../../losses/diffusion/flow.ts';
import { type LineMeasures, lineMeasures } from '../../losses/diffusion/straightLineMeasures.ts';
import { psnr } from '../../losses/psnr.ts';
import type { Codec } from '../../models/codec.ts';
import type { LineAutoencoder } from '../../models/lineAutoencoder.ts';
import { type Net, applyNet, paramsOf } from '../../models/net.ts';
import { flowStates } from '../../schedules/samplers/flowStates.ts';
import { type DecodedPair, stackImages } from '../validation.ts';

type Image = tf.Tensor4D;
type Rows = number[][];

/** Means over pairs, PSNR in dB against the source or the target. */
export type ArmScores = Readonly<{
  /** D(a) against the source and D(b) against the target, averaged: what the autoencoder costs. */
  reconstruction: number;
  /** Against the target: D(b), the upper bound, and D(a), which changes nothing. */
  upper: number;
  identity: number;
  /** Against the target: D(a + shift), D of one step of the velocity from a, and of twenty of Heun's. */
  shift: number;
  oneStep: number;
  manySteps: number;
}>;

export type ArmFindings = Readonly<{
  scores: ArmScores;
  line: LineMeasures;
  /** How far paths of the velocity are from straight, E||v - (z1 - z0)||^2 / E||d||^2. */
  straightness: number;
  /** What the velocity misses on the way, E||v - d||^2 / E||d||^2: where paths cross it cannot be 0. */
  crossing: number;
  /** Latents of the sources, and what the shift leaves of the displacements; for the regression of one on the other. */
  rows: Readonly<{ sources: Rows; residuals: Rows }>;
}>;

const steps = 20;
const times = [0.1, 0.3, 0.5, 0.7, 0.9];

/** Heun's method towards the target. */
const heun = (toward: (z: Image, t: number) => Image, begin: Image): Image => {
  let z = begin;
  for (let i = 0; i < steps; i++) {
    const first = toward(z, 1 - i / steps);
    const second = toward(tf.add(z, tf.div(first, steps)), 1 - (i + 1) / steps);
    z = tf.add(z, tf.div(tf.add(first, second), 2 * steps));
  }
  return z;
};

const toRows = (values: ArrayLike<number>, count: number): Rows => Array.from({ length: count }, (_, i) => Array.from({ length: values.length / count }, (__, k) => values[i * (values.length / count) + k] as number));

/**
 * Measures an arm with its averaged weights.
 * @param pairs at least two, of one size; for the arm of torn pairs, those
 */
export const measureArm = async ({ net, autoencoder, flow }: Readonly<{ net: Net<[Image], Image>; autoencoder: LineAutoencoder; flow: Net<[Image, tf.Tensor1D], Image> }>, codec: Codec, pairs: readonly DecodedPair[],
  [height, width]: readonly [number, number]): Promise<ArmFindings> => {
  const tensors = tf.tidy(() => {
    const params = paramsOf(net, 'shadow');
    const velocity = applyNet(flow, 'shadow');
    const toward = (z: Image, t: number): Image => velocity(z, tf.fill([z.shape[0]], t));
    const [source, target] = [stackImages(pairs.map((pair) => pair.source), [height, width]), stackImages(pairs.map((pair) => pair.target), [height, width])];
    const [a, b] = [autoencoder.encode(params, codec.encode(source)), autoencoder.encode(params, codec.encode(target))];
    const score = (z: Image, against: Image): tf.Scalar => tf.mean(psnr(tf.clipByValue(codec.decode(autoencoder.decode(params, z)), -1, 1), against));
    const d = tf.sub<Image>(b, a);
    const energy = tf.mean(tf.square(d));
    const states = flowStates((z, t) => tf.neg(toward(z, t)), a, steps);
    const missed = tf.addN(times.map((t) => tf.mean(tf.squaredDifference(toward(tf.add(tf.mul(b, 1 - t), tf.mul(a, t)), t), d))));
    const scores = { own: score(a, source), upper: score(b, target), identity: score(a, target), shift: score(autoencoder.shifted(params, a), target), oneStep: score(tf.add(a, toward(a, 1)), target), manySteps: score(heun(toward, a), target) };
    return { a, b, apart: tf.clone(autoencoder.shift(params)), ...scores, straightness: tf.div(straightness(states), energy), crossing: tf.div(missed, tf.mul(energy, times.length)) };
  });
  try {
    const values = Object.fromEntries(await Promise.all(Object.entries(tensors).map(async ([name, tensor]) => [name, await (tensor as tf.Tensor).data()] as const)));
    const number = (name: keyof typeof tensors): number => values[name]?.[0] as number;
    const [sources, targets, shift] = [toRows(values['a'] as Float32Array, pairs.length), toRows(values['b'] as Float32Array, pairs.length), Array.from(values['apart'] as Float32Array)];
    return {
      scores: { reconstruction: (number('own') + number('upper')) / 2, upper: number('upper'), identity: number('identity'), shift: number('shift'), oneStep: number('oneStep'), manySteps: number('manySteps') },
      line: lineMeasures(sources, targets, shift), straightness: number('straightness'), crossing: number('crossing'),
      rows: { sources, residuals: targets.map((row, i) => row.map((value, k) => value - (sources[i]?.[k] as number) - (shift[k] as number))) },
    };
  } finally {
    tf.dispose(tensors);
  }
};
