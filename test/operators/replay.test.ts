import { from, lastValueFrom, map, toArray } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ReplayPolicy, classicHistory, remember, replayBuffer, seraenaHistory } from '../../src/models/replayBuffer.ts';
import { replay } from '../../src/operators/replay.ts';
import { fold, integers, seeded, uniform } from '../../src/random.ts';
import type { Batch } from '../../src/streams/frames.ts';
import { release } from '../../src/streams/mapTensors.ts';
import { free } from '../../src/streams/scoped.ts';
import * as tf from '../../src/tf.ts';
import { batchAt, leakFree } from '../support.ts';
import { keepsTheContract } from './contract.ts';

const key = seeded(5);
const bufferOf = (capacity: number) => replayBuffer({ capacity, shapes: { fake: [1, 1, 2], source: [1, 1, 1] } });

/** What leaves a buffer in each of `steps` steps, when image i is the number i and its source is -i. */
const flow = async (capacity: number, batch: number, steps: number, policy: ReplayPolicy): Promise<{ left: number[][]; count: number; held: number[] }> => {
  const buffer = bufferOf(capacity);
  const left: number[][] = [];
  for (let step = 0; step < steps; step++) {
    const ids = Array.from({ length: batch }, (_, i) => step * batch + i);
    const out = tf.tidy(() => remember(buffer, {
      fake: tf.tensor4d(ids.flatMap((id) => [id, id + 0.5]), [batch, 1, 1, 2]), source: tf.tensor4d(ids.map((id) => -id), [batch, 1, 1, 1]),
    }, policy, fold(key, 'replay', step)));
    const [fakes, sources] = [await out.fake.data(), await out.source.data()];
    tf.dispose(out);
    left.push(Array.from(sources, (id) => -id));
    expect(Array.from(fakes)).toEqual(left.at(-1)!.flatMap((id) => [id, id + 0.5]));
  }
  const [count] = await buffer.variables['count']!.data();
  const held = Array.from(await buffer.variables['memory.source']!.data(), (id) => -id);
  free({ buffer });
  return { left, count: count as number, held };
};

/** Image by image, as the sources have it, from the same draws. */
const classicByHand = (capacity: number, batch: number, steps: number): number[][] => {
  const pool: number[] = [];
  return Array.from({ length: steps }, (_, step) => {
    const at = fold(key, 'replay', step);
    const [place, swap] = [integers(fold(at, 'place'), batch, capacity), uniform(fold(at, 'swap'), batch)];
    return Array.from({ length: batch }, (_, i) => {
      const id = step * batch + i;
      if (pool.length < capacity) return pool[pool.push(id) - 1]!;
      if (swap[i]! >= 0.5) return id;
      const old = pool[place[i]!]!;
      pool[place[i]!] = id;
      return old;
    });
  });
};
const seraenaByHand = (capacity: number, batch: number, steps: number): { left: number[][]; held: number[] } => {
  const pool: number[] = [];
  const left = Array.from({ length: steps }, (_, step) => {
    const at = fold(key, 'replay', step);
    const place = integers(fold(at, 'place'), batch, capacity);
    const ids = Array.from({ length: batch }, (_, i) => step * batch + i);
    ids.forEach((id, i) => { if (pool.length < capacity) pool.push(id); else pool[place[i]!] = id; });
    return [...ids.slice(0, batch / 2), ...Array.from(uniform(fold(at, 'draw'), batch / 2), (u) => pool[Math.min(pool.length - 1, Math.floor(Math.fround(u * pool.length)))]!)];
  });
  return { left, held: pool };
};

describe('replay', () => {
  const load = (batch: Batch) => ({ ...batch, fake: tf.zeros<tf.Rank.R4>([2, 4, 4, 3]) });
  describe('as an operator', () => {
    // One buffer for all cases, as a run has one: subscriptions come and go, it stays.
    let buffer: ReturnType<typeof replayBuffer<'fake'>>;
    beforeAll(() => { buffer = replayBuffer({ capacity: 3, shapes: { fake: [4, 4, 3] } }); });
    afterAll(() => { free({ buffer }); });
    keepsTheContract(() => replay<ReturnType<typeof load>, 'fake'>(buffer, ({ fake }) => ({ fake }), { key: seeded(0) }), load);
  });

  it.each([[1, 3], [4, 3], [5, 7], [50, 8]])('of capacity %i follows the classic rule in batches of %i, image by image', leak(async (capacity, batch) => {
    const { left, count } = await flow(capacity, batch, 20, classicHistory());
    expect(left).toEqual(classicByHand(capacity, batch, 20));
    expect(count).toBe(Math.min(capacity, 20 * batch));
  }));

  it.each([[1, 2], [5, 4], [7, 8], [1000, 4]])('of capacity %i follows seraena\'s rule in batches of %i, image by image', leak(async (capacity, batch) => {
    const { left, held, count } = await flow(capacity, batch, 20, seraenaHistory);
    const byHand = seraenaByHand(capacity, batch, 20);
    expect(left).toEqual(byHand.left);
    expect(held.slice(0, count)).toEqual(byHand.held);
  }));

  it('lets the first 50 images through a pool of 50, and about half of what leaves later is older', leakFree(async () => {
    const { left } = await flow(50, 10, 205, classicHistory());
    const current = left.map((row, step) => row.filter((id) => id >= step * 10).length);
    expect(current.slice(0, 5)).toEqual([10, 10, 10, 10, 10]);
    const share = current.slice(5).reduce((a, b) => a + b, 0) / 2000;
    // Some of those that leave a place entered it within the same batch: they are current too. 4 standard deviations of a fair coin are 0.045.
    expect(share).toBeGreaterThan(0.45);
    expect(share).toBeLessThan(0.6);
    const ages = left.slice(5).flatMap((row, i) => row.map((id) => (i + 5) * 10 - id)).filter((age) => age > 0);
    // A place is taken over every 100 images on average, so that is how old what leaves is.
    expect(ages.reduce((a, b) => a + b, 0) / ages.length).toBeGreaterThan(80);
    expect(ages.reduce((a, b) => a + b, 0) / ages.length).toBeLessThan(125);
  }));

  it('draws uniformly from seraena\'s buffer', leakFree(async () => {
    const { left } = await flow(2000, 10, 200, seraenaHistory);
    const relative = left.slice(20).flatMap((row, i) => row.slice(5).map((id) => id / ((i + 21) * 10)));
    const mean = relative.reduce((a, b) => a + b, 0) / relative.length;
    expect(Math.abs(mean - 0.5)).toBeLessThan(4 * Math.sqrt(1 / 12 / relative.length));
  }));

  it('continues from saved variables as if it had not stopped', leakFree(async () => {
    const frames = (start: number, end: number) => from(Array.from({ length: end - start }, (_, i) => batchAt(start + i)))
      .pipe(map((batch) => ({ ...batch, fake: tf.fill<tf.Rank.R4>([4, 1, 1, 1], batch.step) })));
    const run = async (buffer: ReturnType<typeof replayBuffer<'fake'>>, start: number, end: number): Promise<number[][]> => {
      const seen = await lastValueFrom(frames(start, end).pipe(replay(buffer, ({ fake }: { fake: tf.Tensor4D } & Batch) => ({ fake }), { key }), toArray()));
      const values = await Promise.all(seen.map(async ({ replayed: { fake } }) => [...await fake.data()]));
      seen.forEach(release);
      return values;
    };
    const [whole, first, second] = [0, 1, 2].map(() => replayBuffer({ capacity: 6, shapes: { fake: [1, 1, 1] } })) as [ReturnType<typeof replayBuffer<'fake'>>, ReturnType<typeof replayBuffer<'fake'>>, ReturnType<typeof replayBuffer<'fake'>>];
    const expected = await run(whole, 0, 12);
    const before = await run(first, 0, 7);
    for (const [name, variable] of Object.entries(second.variables)) variable.assign(first.variables[name]!);
    expect([...before, ...await run(second, 7, 12)]).toEqual(expected);
    free({ whole, first, second });
  }));

  it('says what is wrong with its options', () => {
    expect(() => replayBuffer({ capacity: 0, shapes: { fake: [1] } })).toThrow('replayBuffer: expected capacity to be a positive integer but received 0');
    expect(() => replayBuffer({ capacity: 2, shapes: {} })).toThrow(RangeError);
    expect(() => classicHistory({ share: 2 })).toThrow('classicHistory: expected share to be a probability but received 2');
    const buffer = bufferOf(4);
    expect(() => tf.tidy(() => remember(buffer, { fake: tf.zeros([3, 1, 1, 2]), source: tf.zeros([3, 1, 1, 1]) }, seraenaHistory, key))).toThrow('expected an even number of images a batch but received 3');
    free({ buffer });
  });
});

function leak(test: (capacity: number, batch: number) => Promise<void>): (...args: number[]) => Promise<void> {
  return (...args) => leakFree(() => test(...(args as [number, number])))();
}
