import { constant } from '../../src/models/init.ts';
import { type Net, makeNet } from '../../src/models/net.ts';
import { buildNetwork, param } from '../../src/models/network.ts';
import { seeded } from '../../src/random.ts';
import type { Batch } from '../../src/streams/frames.ts';
import { release } from '../../src/streams/mapTensors.ts';
import { free } from '../../src/streams/scoped.ts';
import * as tf from '../../src/tf.ts';

export type Line = Net<[tf.Tensor1D], tf.Tensor1D>;
export type Point = Batch & Readonly<{ x: tf.Tensor1D; y: tf.Tensor1D }>;

/** The smallest network there is: slope * x + offset, from 1 x + 0, for steps that are worked out by hand. */
export const makeLine = (options: Partial<Parameters<typeof makeNet>[1]> = {}): Line => makeNet(buildNetwork<[tf.Tensor1D], tf.Tensor1D>('line', {}, (root) => {
  const [slope, offset] = [root.param('slope', [1], constant(1)), root.param('offset', [1], constant(0))];
  return (params, x) => tf.add(tf.mul(tf.reshape(x, [2]) as tf.Tensor1D, param(params, slope)), param(params, offset));
}), { key: seeded(0), ...options });

/** Two points on y = 3x: at x = 1 and x = 2. */
export const point = (batch: Batch): Point => ({ ...batch, x: tf.tensor1d([1, 2]), y: tf.tensor1d([3, 6]) });

/** Half the mean squared error. */
export const halfMse = ({ y, out }: Readonly<{ y: tf.Tensor1D; out: tf.Tensor1D }>): tf.Scalar => tf.div(tf.mean(tf.squaredDifference(out, y)), 2);

export const valuesOf = async (tensor: tf.Tensor): Promise<number[]> => [...await tensor.data()];

/** Runs a test with a net of its own. */
export const withLine = async (options: Parameters<typeof makeLine>[0], test: (line: Line) => Promise<void>): Promise<void> => {
  const line = makeLine(options);
  try { await test(line); } finally { free({ line }); }
};

/** Reads the scalars of a frame, and frees it. */
export const readMetrics = async (frame: Readonly<{ metrics: Readonly<Record<string, tf.Scalar>> }>): Promise<Record<string, number>> => {
  const read = Object.fromEntries(await Promise.all(Object.entries(frame.metrics).map(async ([name, value]) => [name, (await value.data())[0] as number] as const)));
  release(frame);
  return read;
};
