import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Augmentation, type Plan, drawPlan, restPlan } from '../../src/data/augmentations/augmentation.ts';
import { crop } from '../../src/data/augmentations/crop.ts';
import { flip } from '../../src/data/augmentations/flip.ts';
import { hue } from '../../src/data/augmentations/hue.ts';
import { rotate } from '../../src/data/augmentations/rotate.ts';
import { saturation } from '../../src/data/augmentations/saturation.ts';
import { shift } from '../../src/data/augmentations/shift.ts';
import { composeColour } from '../../src/data/colour.ts';
import { compose, identityAffine } from '../../src/data/geometry.ts';
import { fold, seeded } from '../../src/random.ts';

const draws = (augmentation: Augmentation, count = 400): Partial<Plan>[] => Array.from({ length: count }, (_, i) => augmentation.draw(fold(seeded(5), i)));
const affineOf = ({ affine = identityAffine }: Partial<Plan>) => affine;
const spanOf = (values: readonly number[]): readonly [number, number] => [Math.min(...values), Math.max(...values)];
const fills = (values: readonly number[], low: number, high: number): void => {
  const [least, most] = spanOf(values);
  expect(least).toBeGreaterThanOrEqual(low - 1e-9);
  expect(most).toBeLessThanOrEqual(high + 1e-9);
  expect(least).toBeLessThan(low + 0.05 * (high - low));
  expect(most).toBeGreaterThan(high - 0.05 * (high - low));
};

describe('what is drawn', () => {
  it('shift: up to its share either way, in x and y, in whole pixels where asked', () => {
    const maps = draws(shift(0.1)).map(affineOf);
    fills(maps.map(([, , tx]) => tx), -0.1, 0.1);
    fills(maps.map((map) => map[5]), -0.1, 0.1);
    for (const [a, b, tx, c, d, ty] of draws(shift(0.1, { pixels: 96 })).map(affineOf)) {
      expect([a, b, c, d]).toEqual([1, 0, 0, 1]);
      for (const by of [tx * 96, ty * 96]) expect(Math.abs(by - Math.round(by))).toBeLessThan(1e-9);
    }
  });
  it('rotate: up to its degrees either way, keeping lengths', () => {
    const maps = draws(rotate(20)).map(affineOf);
    fills(maps.map(([a, b]) => Math.atan2(-b, a) * 180 / Math.PI), -20, 20);
    for (const [a, b, , c, d] of maps) expect(a * d - b * c).toBeCloseTo(1, 12);
  });
  it('crop: a window of its size that stays inside, and any place along a longer side', () => {
    const plans = draws(crop(0.7));
    fills(plans.map((plan) => affineOf(plan)[0]), 0.7, 1);
    fills(plans.map(({ place = -1 }) => place), 0, 1);
    for (const [share, , x, , other, y] of plans.map(affineOf)) {
      expect(share).toBe(other);
      expect(Math.max(Math.abs(x), Math.abs(y)) + share / 2).toBeLessThanOrEqual(0.5 + 1e-9);
    }
    expect(crop(0.5).magnifies).toBe(2);
  });
  it('flip: as often as its probability says', () => {
    const share = (probability: number): number => draws(flip(probability)).filter(({ affine }) => affine !== undefined).length / 400;
    expect([share(0), share(1)]).toEqual([0, 1]);
    expect(Math.abs(share(0.3) - 0.3)).toBeLessThan(0.1);
    expect(affineOf(flip(1, { axis: 'y' }).draw(seeded(0)))).toEqual([1, 0, 0, 0, -1, 0]);
  });
  it('hue and saturation: within their bounds, for both images or the source alone', () => {
    fills(draws(saturation(0.4)).map(({ source }) => (source?.[0] as number) - (source?.[1] as number)), 0.6, 1.4);
    fills(draws(hue(40)).map(({ source }) => Math.acos(((source?.[0] as number) - 1 / 3) * 1.5) * 180 / Math.PI), 0, 40);
    for (const { source, target } of draws(hue(40), 5)) expect(target).toEqual(source);
    for (const { source, target } of [...draws(hue(40, { on: 'source' }), 5), ...draws(saturation(0.5, { on: 'source' }), 5)]) {
      expect(source).toBeDefined();
      expect(target).toBeUndefined();
    }
  });
});

describe('drawPlan', () => {
  const all = [shift(0.1), rotate(10), crop(0.8), flip(0.5), hue(20), saturation(0.2)];
  it('is a pure function of its key', () => {
    fc.assert(fc.property(fc.nat(), (seed) => { expect(drawPlan(all, seeded(seed))).toEqual(drawPlan(all, seeded(seed))); }));
    expect(drawPlan(all, seeded(0))).not.toEqual(drawPlan(all, seeded(1)));
  });
  it('composes the maps and matrices of its augmentations, first to last', () => {
    const key = seeded(3);
    const alone = (augmentation: Augmentation): Partial<Plan> => augmentation.draw(fold(key, augmentation.name, 0));
    const { affine, source } = drawPlan([rotate(30), shift(0.2), hue(50), saturation(0.5)], key);
    expect(affine).toEqual(compose(affineOf(alone(rotate(30))), affineOf(alone(shift(0.2)))));
    expect(source).toEqual(composeColour(alone(saturation(0.5)).source as never, alone(hue(50)).source as never));
  });
  it('draws the same for an augmentation whatever stands beside it, and anew for a second of its kind', () => {
    const key = seeded(4);
    expect(drawPlan([hue(30), shift(0.1)], key).affine).toEqual(drawPlan([shift(0.1)], key).affine);
    const [once, twice] = [drawPlan([shift(0.1)], key).affine, drawPlan([shift(0.1), shift(0.1)], key).affine];
    expect(twice[2]).not.toBeCloseTo(2 * once[2], 6);
  });
  it('is the image at rest without augmentations', () => { expect(drawPlan([], seeded(0))).toEqual(restPlan); });
});

it.each([
  [() => shift(1.5), 'shift: expected the largest shift in 0..1 but received 1.5'],
  [() => shift(0.1, { pixels: 0 }), 'shift: expected pixels to be a positive integer but received 0'],
  [() => rotate(-1), 'rotate: expected the largest angle in degrees in 0..180 but received -1'],
  [() => crop(0), 'crop: expected the smallest share in 0.1..1 but received 0'],
  [() => flip(Number.NaN), 'flip: expected the probability in 0..1 but received NaN'],
  [() => flip(0.5, { axis: 'z' as 'x' }), "flip: expected axis to be 'x' or 'y' but received z"],
  [() => hue(181), 'hue: expected the largest angle in degrees in 0..180 but received 181'],
  [() => hue(1, { on: 'target' as 'both' }), "hue: expected on to be 'both' or 'source' but received target"],
  [() => saturation(2), 'saturation: expected the largest change in 0..1 but received 2'],
])('refuses bad options when it is made: %#', (make, message) => { expect(make).toThrow(new RangeError(message)); });
