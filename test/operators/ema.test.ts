import { concatMap, from, lastValueFrom, map } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ema, emaDecay } from '../../src/operators/ema.ts';
import { sgd } from '../../src/optim/sgd.ts';
import type { Batch } from '../../src/streams/frames.ts';
import { free } from '../../src/streams/scoped.ts';
import * as tf from '../../src/tf.ts';
import { batchAt, leakFree } from '../support.ts';
import { keepsTheContract } from './contract.ts';
import { type Line, makeLine, point, valuesOf, withLine } from './line.ts';

const shadowed = { optimizer: sgd(), shadow: true };
const images = ['a', 'b', 'c', 'd'];
/** The shadow after one step with weights (3, -1), from (1, 0). */
const after = (line: Line, step: number, options: Parameters<typeof ema>[1]): Promise<number[]> => {
  tf.tidy(() => { line.weights.assign(tf.tensor1d([3, -1])); line.shadow?.assign(tf.tensor1d([1, 0])); });
  return lastValueFrom(from([batchAt(step, images)]).pipe(ema(line, options), concatMap(() => valuesOf(line.shadow as tf.Tensor))));
};

describe('emaDecay', () => {
  it('halves over a half-life', () => {
    expect(emaDecay(500, 500)).toBe(0.5);
    expect(emaDecay(4, 500) ** 125).toBeCloseTo(0.5, 12);
    expect(emaDecay(4, 1e-6)).toBe(0);
  });
});

describe('ema', () => {
  describe('as an operator', () => {
    let line: Line;
    beforeAll(() => { line = makeLine(shadowed); });
    afterAll(() => { free({ line }); });
    keepsTheContract(() => ema<ReturnType<typeof point>, [tf.Tensor1D], tf.Tensor1D>(line, { halfLife: 500 }), point, { readsTensors: false });
  });

  it('takes the step worked out by hand', leakFree(() => withLine(shadowed, async (line) => {
    // Far into the run the half-life is the option's: 4 images of 4 keep one half of (1, 0) and take one half of (3, -1).
    expect(await after(line, 1_000_000, { halfLife: 4 })).toEqual([2, -0.5]);
    // 4 images of 8: the old average keeps 2^-0.5.
    const [slope, offset] = await after(line, 1_000_000, { halfLife: 8 }) as [number, number];
    expect(slope).toBeCloseTo(3 - 2 * 2 ** -0.5, 6);
    expect(offset).toBeCloseTo(-1 + 2 ** -0.5, 6);
  })));

  it('ramps the half-life up with the images seen', leakFree(() => withLine(shadowed, async (line) => {
    // At step 0 nothing was seen: the shadow is the weights. At step 20, 80 images were: a share of 0.05 of them is 4.
    expect(await after(line, 0, { halfLife: 500 })).toEqual([3, -1]);
    const [slope] = await after(line, 20, { halfLife: 500 }) as [number];
    expect(slope).toBeCloseTo(2, 6);
    const [wider] = await after(line, 20, { halfLife: 500, rampUp: 0.1 }) as [number];
    expect(wider).toBeCloseTo(3 - 2 * 2 ** -0.5, 6);
  })));

  it('follows a course of the half-life over images, which may begin at 0', leakFree(() => withLine(shadowed, async (line) => {
    const halfLife = (images: number): number => images / 20;
    expect(await after(line, 0, { halfLife })).toEqual([3, -1]);
    // 80 images were seen, so the half-life is the 4 of this step; a ramp does not bound it.
    for (const rampUp of [1e-9, 0.05]) expect((await after(line, 20, { halfLife, rampUp }))[0]).toBeCloseTo(2, 6);
  })));

  it('passes the frame on as it is, and leaves the weights alone', leakFree(() => withLine(shadowed, async (line) => {
    const before: Batch = batchAt(3, images);
    const passed = await lastValueFrom(from([before]).pipe(ema(line, { halfLife: 5 }), map((frame) => frame)));
    expect(passed).toEqual(before);
    expect(await valuesOf(line.weights)).toEqual([1, 0]);
  })));

  it('refuses a network without shadow, and half-lives that are not positive', leakFree(async () => {
    await withLine({ optimizer: sgd() }, async (line) => { expect(() => ema(line, { halfLife: 5 })).toThrow('ema: expected line to keep a shadow but it was made without one'); });
    await withLine(shadowed, async (line) => {
      for (const options of [{ halfLife: 0 }, { halfLife: NaN }, { halfLife: 1, rampUp: 0 }]) expect(() => ema(line, options)).toThrow(RangeError);
    });
  }));
});
