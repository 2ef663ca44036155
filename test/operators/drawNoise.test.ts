import { from, map } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { drawNoise } from '../../src/operators/drawNoise.ts';
import { fold, seeded } from '../../src/random.ts';
import type { Batch } from '../../src/streams/frames.ts';
import { release } from '../../src/streams/mapTensors.ts';
import * as tf from '../../src/tf.ts';
import { batchAt, leakFree } from '../support.ts';
import { keepsTheContract } from './contract.ts';

const load = (batch: Batch) => ({ ...batch, source: tf.zeros<tf.Rank.R4>([2, 16, 32, 3]), target: tf.zeros<tf.Rank.R4>([2, 16, 32, 3]) });
const space = { factor: 2, channels: 4 };
const draw = async (gamma: readonly [number, number], step: number, key = seeded(0)) => {
  const pending: { values: Promise<number[][]>; shapes: number[][] }[] = [];
  from([batchAt(step)]).pipe(map(load), drawNoise(space, { gamma, key })).subscribe((frame) => {
    const parts = [frame.r, frame.noise, frame.eps];
    pending.push({ shapes: parts.map(({ shape }) => [...shape]), values: Promise.all(parts.map(async (tensor) => [...await tensor.data()])).then((values) => { release(frame); return values; }) });
  });
  const [{ values, shapes }] = pending as [{ values: Promise<number[][]>; shapes: number[][] }];
  const [r, noise, eps] = await values as [number[], number[], number[]];
  return { r, noise, eps, shapes };
};
const spread = (values: readonly number[]): number => Math.sqrt(values.reduce((sum, x) => sum + x ** 2, 0) / values.length);

describe('drawNoise', () => {
  keepsTheContract(() => drawNoise<ReturnType<typeof load>>(space, { gamma: [0.2, 0.8], key: seeded(0) }), load);

  it('draws unit-normal values of the latents\' shape, and a share per image', leakFree(async () => {
    const { r, noise, eps, shapes } = await draw([0.4, 0.6], 7);
    expect(shapes).toEqual([[2, 1, 1, 1], [2, 8, 16, 4], [2, 8, 16, 4]]);
    expect(r.every((share) => share >= 0.4 && share <= 0.6) && r[0] !== r[1]).toBe(true);
    for (const values of [noise, eps]) expect(Math.abs(spread(values) - 1)).toBeLessThan(0.1);
    expect(noise).not.toEqual(eps);
  }));

  it('draws no noise that nothing would see, but samples all the same', leakFree(async () => {
    const { r, noise, eps } = await draw([1, 1], 7);
    expect(r).toEqual([1, 1]);
    expect(spread(noise)).toBe(0);
    expect(spread(eps)).toBeGreaterThan(0.9);
  }));

  it('is a function of key and step', leakFree(async () => {
    const one = await draw([0.4, 0.6], 7);
    expect(await draw([0.4, 0.6], 7)).toEqual(one);
    expect((await draw([0.4, 0.6], 8)).eps).not.toEqual(one.eps);
    expect((await draw([0.4, 0.6], 7, fold(seeded(0), 'again'))).eps).not.toEqual(one.eps);
  }));

  it('draws anew where it is applied again, and frees what was there', leakFree(() => {
    from([batchAt(0)]).pipe(map(load), drawNoise(space, { gamma: [0, 1], key: seeded(0) }), drawNoise(space, { gamma: [0, 1], key: seeded(1) })).subscribe(release);
  }));

  it.each([[[0.6, 0.4]], [[-0.1, 1]], [[0, 1.1]], [[Number.NaN, 1]]] as const)('refuses gamma %j', (gamma) => {
    expect(() => drawNoise(space, { gamma, key: seeded(0) })).toThrow(/^drawNoise: expected 0 <= low <= high <= 1/);
  });
});
