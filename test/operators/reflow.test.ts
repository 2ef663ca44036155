import { from, map } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Latents } from '../../src/models/codec.ts';
import { limitOf, identity } from '../../src/models/codec.ts';
import { constant } from '../../src/models/init.ts';
import { type Net, makeNet } from '../../src/models/net.ts';
import { buildNetwork, param } from '../../src/models/network.ts';
import { type Reflowed, reflow } from '../../src/operators/reflow.ts';
import { fold, normal, seeded } from '../../src/random.ts';
import { flowStates } from '../../src/schedules/samplers/flowStates.ts';
import type { Batch } from '../../src/streams/frames.ts';
import { free } from '../../src/streams/scoped.ts';
import * as tf from '../../src/tf.ts';
import { batchAt, leakFree } from '../support.ts';
import { keepsTheContract } from './contract.ts';

type Image = tf.Tensor4D;
type Frame = Batch & Latents;
type Teacher = Net<[Image, tf.Tensor1D, Image], Image>;
const key = seeded(7);
const load = (batch: Batch): Frame => ({ ...batch, sourceLatent: tf.tensor4d(normal(fold(key, 'a'), 24), [2, 2, 2, 3]), targetLatent: tf.zeros([2, 2, 2, 3]) });
/** A teacher that answers `answer`, of its one parameter, which is 1. */
const teacherOf = (answer: (one: tf.Tensor, z: Image, t: tf.Tensor1D, source: Image) => tf.Tensor): Teacher => makeNet(buildNetwork<[Image, tf.Tensor1D, Image], Image>('teacher', {}, (root) => {
  const one = root.param('one', [1], constant(1));
  return (params, z, t, source) => answer(param(params, one), z, t, source) as Image;
}), { key });
const read = async (teacher: Teacher, options: Partial<Parameters<typeof reflow>[1]>, step = 3): Promise<Readonly<{ end: number[]; begin: number[] | undefined; source: number[]; straightness: number }>> => {
  const found: (Frame & Reflowed)[] = [];
  from([batchAt(step)]).pipe(map(load), reflow(teacher, { from: 'noise', steps: 4, key, ...options })).subscribe((frame) => { found.push(frame); });
  const frame = found[0]!;
  try {
    const values = async (tensor: tf.Tensor): Promise<number[]> => [...await tensor.data()];
    return { end: await values(frame.targetLatent), begin: frame.eps && await values(frame.eps), source: await values(frame.sourceLatent), straightness: (await values(frame.metrics['teacher.straightness']!))[0]! };
  } finally {
    tf.dispose(frame as unknown as tf.TensorContainer);
    free({ teacher });
  }
};
const close = (a: readonly number[], b: readonly number[], digits = 5): void => { expect(a).toHaveLength(b.length); a.forEach((value, i) => { expect(value).toBeCloseTo(b[i]!, digits); }); };

describe('flowStates', () => {
  it('takes Euler steps from t = 1, evenly', leakFree(async () => {
    // dz/dt = t: from z = 0 in two steps of 1/2 at t = 1 and 1/2.
    const states = tf.tidy(() => flowStates((z, t) => tf.fill(z.shape, t), tf.zeros([1, 1, 1, 1]), 2));
    expect((await Promise.all(states.map((state) => state.data()))).map(([value]) => value)).toEqual([0, -0.5, -0.75]);
    tf.dispose(states);
  }));

  it('refuses no steps', () => { expect(() => flowStates((z) => z, undefined as never, 0)).toThrow('flowStates: expected steps to be a positive integer but received 0'); });
});

describe('reflow', () => {
  describe('as an operator', () => {
    let teacher: Teacher;
    beforeAll(() => { teacher = teacherOf((one, z) => tf.mul(z, one)); });
    afterAll(() => { free({ teacher }); });
    keepsTheContract(() => reflow<Frame>(teacher, { from: 'noise', steps: 2, key }), load);
  });

  it('pairs noise with where the teacher takes it: (1 - 1/N)^N of it for dz/dt = z', leakFree(async () => {
    const { begin, end } = await read(teacherOf((one, z) => tf.mul(z, one)), {});
    close(end, begin!.map((value) => value * 0.75 ** 4));
    expect(Math.abs(begin!.reduce((a, b) => a + b) / 24)).toBeLessThan(0.7);
    expect(new Set(begin).size).toBe(24);
  }));

  it('tells the teacher its time and the source', leakFree(async () => {
    // dz/dt = t + source: the mean of t = 1, 3/4, 1/2, 1/4 is 5/8.
    const { begin, end, source } = await read(teacherOf((one, _z, t, given) => tf.add(tf.mul(given, one), tf.reshape(tf.div(t, 1000), [2, 1, 1, 1]))), {});
    close(end, begin!.map((value, i) => value - source[i]! - 0.625));
  }));

  it('begins at the source where it is told to, and then adds no noise', leakFree(async () => {
    const { begin, end, source } = await read(teacherOf((one, z) => tf.mul(z, one)), { from: 'source', steps: 1 });
    expect(begin).toBeUndefined();
    close(end, source.map(() => 0));
  }));

  it('measures how straight the paths are', leakFree(async () => {
    expect((await read(teacherOf((one, _z, _t, source) => tf.mul(source, one)), {})).straightness).toBeCloseTo(0, 9);
    // dz/dt = t at 1, 3/4, 1/2, 1/4: the variance of these four is 5/64.
    expect((await read(teacherOf((one, z, t) => tf.mul(tf.mul(tf.onesLike(z), one), tf.reshape(tf.div(t, 1000), [2, 1, 1, 1]))), {})).straightness).toBeCloseTo(5 / 64, 5);
  }));

  it('draws noise as a function of seed and step', leakFree(async () => {
    const one = (): Teacher => teacherOf((one, z) => tf.mul(z, one));
    expect((await read(one(), {}, 3)).end).toEqual((await read(one(), {}, 3)).end);
    expect((await read(one(), {}, 3)).end).not.toEqual((await read(one(), {}, 4)).end);
    expect((await read(one(), {}, 3)).end).not.toEqual((await read(one(), { key: seeded(8) }, 3)).end);
  }));

  it('keeps pixels in their range', leakFree(async () => {
    const { begin, end } = await read(teacherOf((one, z) => tf.mul(tf.zerosLike(z), one)), limitOf(identity));
    close(end, begin!.map((value) => Math.max(-1, Math.min(1, value))));
    expect(limitOf({ factor: 8 })).toEqual({});
  }));

  it('refuses no steps', leakFree(() => {
    const teacher = teacherOf((one) => one);
    expect(() => reflow(teacher, { from: 'noise', steps: 0, key })).toThrow('reflow: expected steps to be a positive integer but received 0');
    free({ teacher });
  }));
});
