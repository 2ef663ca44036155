/** What tests share: virtual time, and the count of tensors. */
import { TestScheduler, type RunHelpers } from 'rxjs/testing';
import { expect } from 'vitest';
import * as tf from '../src/tf.ts';

export type MarbleHelpers = RunHelpers & Readonly<{
  /** Virtual milliseconds. */
  now: () => number;
}>;

/** Runs a test in virtual time: what it expects is compared when all of its time has passed. */
export const marbles = (test: (helpers: MarbleHelpers) => void) => (): void => {
  const scheduler = new TestScheduler((actual, expected) => { expect(actual).toEqual(expected); });
  scheduler.run((helpers) => { test({ ...helpers, now: () => scheduler.now() }); });
};

/** Fails a test that leaves tensors behind, or frees more than it made. */
export const leakFree = (test: () => void | Promise<void>) => async (): Promise<void> => {
  const before = tf.memory().numTensors;
  await test();
  expect(tf.memory().numTensors - before, 'tensors left behind').toBe(0);
};

/** A batch's position and names. */
export const batchAt = (step: number, ids: readonly string[] = [`image${step}`]): { step: number; epoch: number; ids: readonly string[] } => ({ step, epoch: 0, ids });

/** The names of steps 0, 1, 2 ...; `count` of them, or without end. Counts what was drawn. */
export const steps = (count = Infinity): Iterable<ReturnType<typeof batchAt>> & { drawn: number } => ({
  drawn: 0,
  * [Symbol.iterator]() { for (let step = 0; step < count; step++) { this.drawn++; yield batchAt(step); } },
});
