import { from, map } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { addNoise } from '../../src/operators/addNoise.ts';
import { seeded } from '../../src/random.ts';
import type { Batch } from '../../src/streams/frames.ts';
import { release } from '../../src/streams/mapTensors.ts';
import * as tf from '../../src/tf.ts';
import { batchAt, leakFree } from '../support.ts';
import { keepsTheContract } from './contract.ts';

const load = (batch: Batch) => ({ ...batch, sourceLatent: tf.fill<tf.Rank.R4>([2, 8, 8, 3], 0.5) });
const mix = async (gamma: readonly [number, number], step: number, seed = 0) => {
  let out: { r: Promise<tf.DataTypeMap['float32']>; noisy: Promise<tf.DataTypeMap['float32']>; frame: unknown } | undefined;
  from([batchAt(step)]).pipe(map(load), addNoise({ gamma, key: seeded(seed) })).subscribe((frame) => {
    out = { r: frame.r.data() as Promise<Float32Array>, noisy: frame.noisy.data() as Promise<Float32Array>, frame };
  });
  const [r, noisy] = [[...await out!.r], [...await out!.noisy]];
  release(out!.frame);
  return { r, noisy };
};

describe('addNoise', () => {
  keepsTheContract(() => addNoise<ReturnType<typeof load>>({ gamma: [0.2, 0.8], key: seeded(0) }), load);

  it('is the identity in the deterministic mode', leakFree(async () => {
    const { r, noisy } = await mix([1, 1], 0);
    expect(r).toEqual([1, 1]);
    expect(noisy.every((x) => x === 0.5)).toBe(true);
  }));

  it('forgets the source at gamma 0: unit normal noise', leakFree(async () => {
    const { noisy } = await mix([0, 0], 0);
    const mean = noisy.reduce((a, b) => a + b, 0) / noisy.length;
    const variance = noisy.reduce((a, b) => a + (b - mean) ** 2, 0) / noisy.length;
    expect(Math.abs(mean)).toBeLessThan(0.2);
    expect(variance).toBeGreaterThan(0.75);
    expect(variance).toBeLessThan(1.25);
  }));

  it('draws r within gamma, and r and eps as functions of seed and step', leakFree(async () => {
    const [a, again, later, other] = [await mix([0.4, 0.6], 7), await mix([0.4, 0.6], 7), await mix([0.4, 0.6], 8), await mix([0.4, 0.6], 7, 1)];
    expect(a.r.every((r) => r >= 0.4 && r <= 0.6)).toBe(true);
    expect(a).toEqual(again);
    expect(a.noisy).not.toEqual(later.noisy);
    expect(a.noisy).not.toEqual(other.noisy);
  }));

  it.each([[[0.6, 0.4]], [[-0.1, 1]], [[0, 1.1]], [[Number.NaN, 1]]] as const)('refuses gamma %j', (gamma) => {
    expect(() => addNoise({ gamma, key: seeded(0) })).toThrow(/^addNoise: expected 0 <= low <= high <= 1/);
  });
});
