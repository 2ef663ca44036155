import { describe, expect, it } from 'vitest';
import { translateBy } from '../../src/models/translateBy.ts';
import type { Translate } from '../../src/run/method.ts';
import { sweepSteps, sweepTable } from '../../src/run/sweep.ts';
import { scoreModel } from '../../src/run/validation.ts';
import { flow } from '../../src/schedules/processes/flow.ts';
import type { Process } from '../../src/schedules/processes/process.ts';
import { regression } from '../../src/schedules/processes/regression.ts';
import { resShift } from '../../src/schedules/processes/residual.ts';
import * as tf from '../../src/tf.ts';
import { leakFree } from '../support.ts';
import { madeUp } from './heldOut.ts';

/** A network that answers with a share of its input. */
const by = (process: Process): Translate => (source, { keys, steps: calls = 2 }) => translateBy(process, (input) => tf.mul(input, 0.3), source, { calls, keys });
const options = { sweep: [1, 2, 4], batch: 2, seed: 7 };

describe('sweepSteps', () => {
  it('scores each number as a validation with that number does', leakFree(async () => {
    const heldOut = madeUp(5);
    const found = await sweepSteps(heldOut, by(flow()), options);
    expect(found).toMatchObject({ images: 5, refused: [] });
    for (const { steps, psnr, ssim, msPerImage } of found?.bySteps ?? []) {
      const alone = await scoreModel(heldOut, (source, { keys }) => by(flow())(source, { keys, steps }), { batch: 5, seed: 7 });
      expect(psnr).toBeCloseTo(alone?.scores.psnr as number, 4);
      expect(ssim).toBeCloseTo(alone?.scores.ssim as number, 5);
      expect(msPerImage).toBeGreaterThan(0);
    }
    expect(found?.bySteps.map(({ steps }) => steps)).toEqual([1, 2, 4]);
    expect(new Set(found?.bySteps.map(({ psnr }) => psnr)).size).toBe(3);
  }));

  it('takes some pairs of many, with the noise each has in a validation', leakFree(async () => {
    const many = madeUp(40);
    const found = await sweepSteps(many, by(flow()), options);
    expect(found?.images).toBe(8);
    const pairs = await many.pairs();
    const places = Array.from({ length: 8 }, (_, i) => 5 * i);
    const keys: unknown[] = [];
    const alone = await scoreModel(many, (source, given) => { keys.push(...given.keys); return by(flow())(source, { ...given, steps: 4 }); }, { batch: 1, seed: 7 });
    expect(keys).toHaveLength(40);
    expect(alone?.images).toBe(40);
    const seen: unknown[] = [];
    await sweepSteps({ ...many, pairs: async () => pairs }, (source, given) => { seen.push(...given.keys); return by(flow())(source, given); }, { ...options, sweep: [1, 2], batch: 1 });
    // After the two tries, the pairs at each number.
    expect(seen).toHaveLength(2 + 2 * 8);
    expect(seen.slice(2, 10)).toEqual(places.map((place) => keys[place]));
  }));

  it('says what a model does not take', leakFree(async () => {
    const found = await sweepSteps(madeUp(2), by(flow({ sampler: 'heun' })), { ...options, sweep: [1, 2, 3] });
    expect(found?.bySteps.map(({ steps }) => steps)).toEqual([1, 3]);
    expect(found?.refused).toEqual([{ steps: 2, why: 'flow: expected an odd number of calls for heun (2 n - 1 for n steps) but received 2' }]);
    const table = sweepTable({ ...found!, bySteps: [{ steps: 1, psnr: 20.123, ssim: 0.51234, msPerImage: 3.21 }] });
    expect(table).toBe('  sampler steps         PSNR      SSIM  ms/image   (2 held-out images)\n'
      + '  1                 20.12 dB    0.5123       3.2\n'
      + '  2                not taken: flow: expected an odd number of calls for heun (2 n - 1 for n steps) but received 2');
  }));

  it.each<[string, () => Translate, number, number[]]>([
    ['a model that has one way only', () => (source) => tf.mul(source, 0.5), 2, [1, 2]],
    ['one that takes one number only', () => by(resShift({ steps: 4 })), 2, [1, 2, 4]],
    ['regression', () => by(regression()), 2, [1, 2]],
    ['no pairs', () => by(flow()), 0, [1, 2]],
    ['no numbers', () => by(flow()), 2, []],
  ])('finds nothing to compare with %s', (_, make, count, sweep) => leakFree(async () => {
    const heldOut = madeUp(count);
    expect(await sweepSteps(heldOut, make(), { ...options, sweep })).toBeUndefined();
    expect(heldOut.reads).toBe(0);
  })());
});
