import { from, lastValueFrom, map, toArray } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { drawPlan } from '../../src/data/augmentations/augmentation.ts';
import { crop } from '../../src/data/augmentations/crop.ts';
import { hue } from '../../src/data/augmentations/hue.ts';
import { shift } from '../../src/data/augmentations/shift.ts';
import { augment } from '../../src/operators/augment.ts';
import { fold, seeded } from '../../src/random.ts';
import { batchAt, steps } from '../support.ts';
import { keepsTheContract } from './contract.ts';

const all = [shift(0.1), crop(0.8), hue(20)];

describe('augment', () => {
  keepsTheContract(() => augment(seeded(0), ...all), (batch) => batch, { readsTensors: false });

  it('plans each image by key, step and place in the batch, and says how much is magnified', async () => {
    const frame = batchAt(7, ['a', 'b']);
    const planned = await lastValueFrom(from([frame]).pipe(augment(seeded(3), ...all)));
    expect(planned).toEqual({ ...frame, plans: [0, 1].map((i) => drawPlan(all, fold(seeded(3), 7, i))), magnifies: 1.25 });
    expect(planned.plans[0]).not.toEqual(planned.plans[1]);
  });

  it('plans a step alike wherever the run began', async () => {
    const plans = (first: number) => lastValueFrom(from(steps(5)).pipe(map((batch) => ({ ...batch, step: batch.step + first })), augment(seeded(1), ...all), map(({ step, plans }) => [step, plans] as const), toArray()));
    const [whole, resumed] = [await plans(0), await plans(3)];
    expect(resumed.slice(0, 2)).toEqual(whole.slice(3));
  });

  it('leaves images as they are without augmentations', async () => {
    const { plans, magnifies } = await lastValueFrom(from([batchAt(0)]).pipe(augment(seeded(0))));
    expect([plans, magnifies]).toEqual([[{ affine: [1, 0, 0, 0, 1, 0], place: 0.5 }], 1]);
  });

  it('refuses what is no augmentation when it is made', () => {
    expect(() => augment(seeded(0), shift(0.1), {} as never)).toThrow(new TypeError('augment: expected augmentations such as flip(0.5) but received [object Object] at place 1'));
  });
});
