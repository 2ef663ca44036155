import { expect, it } from 'vitest';
import { workloads } from '../../bench/workloads/all.ts';
import { stop } from '../../bench/workloads/workload.ts';
import * as tf from '../../src/tf.ts';

it.each(Object.values(workloads))('$name has as many parameters as its reference', ({ parameters, start }) => {
  const before = tf.memory().numTensors;
  const live = start();
  expect(Object.fromEntries(live.nets.map(({ name, weights }) => [name, weights.size]))).toEqual(parameters);
  stop(live);
  expect(tf.memory().numTensors).toBe(before);
});
