import { describe, expect, it } from 'vitest';
import { consistencySchedule, exponentOf, inverseSqrtRate, posthocCoefficients, powerDecay, powerResponse, profileProduct, warmedDecay, widthOf } from '../../src/schedules/emaProfiles.ts';

describe('power-function profiles', () => {
  it.each([[0.05, 16.972199], [0.1, 6.937204], [0.15, 3.557869], [0.2, 1.826214], [0.25, 0.719824]])('width %d has exponent %d', (width, exponent) => {
    expect(exponentOf(width)).toBeCloseTo(exponent, 5);
    expect(widthOf(exponent)).toBeCloseTo(width, 6);
  });
  it('decays by .9920903 at 1000 of width .1, and forgets the start at the first update', () => {
    expect(powerDecay(0.1, 1000, 1)).toBeCloseTo(0.9920903, 6);
    expect(powerDecay(0.1, 64, 64)).toBe(0);
  });
  it('has the known products', () => {
    expect(profileProduct({ at: 1, width: 0.05 }, { at: 1, width: 0.05 })).toBeCloseTo(9.243254, 5);
    expect(profileProduct({ at: 1, width: 0.05 }, { at: 1, width: 0.1 })).toBeCloseTo(5.726713, 5);
  });
  it('refuses a width that no falling profile has', () => {
    expect(() => exponentOf(0)).toThrow(RangeError);
    expect(() => exponentOf(0.3)).toThrow('relative width');
  });
  it('a response sums to 1 and is nothing after its time', () => {
    const response = powerResponse(50, 0.1, 64);
    expect(response.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
    expect(response[51]).toBe(0);
  });
});

describe('post-hoc averages', () => {
  const snapshots = [200, 400, 600, 800].flatMap((at) => [{ at, width: 0.05 }, { at, width: 0.1 }]);
  it('of a stored profile are that snapshot alone', () => {
    const x = posthocCoefficients(snapshots, { at: 600, width: 0.1 });
    x.forEach((value, i) => expect(value).toBeCloseTo(i === 5 ? 1 : 0, 6));
  });
  it('sum to 1, and follow the wanted response closely', () => {
    const wanted = { at: 800, width: 0.07 };
    const x = posthocCoefficients(snapshots, wanted);
    expect(x.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 10);
    const length = 801;
    const mixed = snapshots.map(({ at, width }) => powerResponse(at, width, length)).reduce((sum, response, i) => sum.map((value, t) => value + (x[i] as number) * (response[t] as number)), new Float64Array(length));
    const exact = powerResponse(wanted.at, wanted.width, length);
    const away = (response: Float64Array): number => Math.hypot(...response.map((value, t) => value - (exact[t] as number))) / Math.hypot(...exact);
    const nearest = Math.min(...snapshots.map(({ at, width }) => away(powerResponse(at, width, length))));
    expect(away(mixed)).toBeLessThan(0.04);
    expect(away(mixed)).toBeLessThan(nearest / 4);
  });
  it('refuse the same snapshot twice', () => expect(() => posthocCoefficients([{ at: 1, width: 0.1 }, { at: 1, width: 0.1 }], { at: 1, width: 0.1 })).toThrow(RangeError));
});

it('warm-up: nothing at first, then (1 + n) / (10 + n) up to the decay', () => {
  expect(warmedDecay(0)).toBe(0);
  expect(warmedDecay(1)).toBe(0);
  expect(warmedDecay(2)).toBeCloseTo(2 / 11, 12);
  expect(warmedDecay(1e7)).toBe(0.9999);
  expect(warmedDecay(9, { warmup: true, power: 1 })).toBeCloseTo(1 - 1 / 9, 12);
  expect(warmedDecay(2, { min: 0.5 })).toBe(0.5);
  expect(warmedDecay(50, { updateAfter: 60 })).toBe(0);
});
it('consistency: scales grow from the first to the last, the adaptive decay with them', () => {
  const options = { emaMode: 'adaptive', startEma: 0.9, scaleMode: 'progressive', startScales: 2, endScales: 200, totalSteps: 1000 } as const;
  expect(consistencySchedule(0, options)).toEqual({ ema: expect.closeTo(Math.exp(2 * Math.log(0.9) / 1), 12), scales: 2 });
  expect(consistencySchedule(1000, options).scales).toBe(201);
  expect(consistencySchedule(1000, options).ema).toBeGreaterThan(0.998);
  expect(consistencySchedule(7, { ...options, emaMode: 'fixed', scaleMode: 'fixed' })).toEqual({ ema: 0.9, scales: 2 });
  expect(consistencySchedule(50, { ...options, emaMode: 'fixed', scaleMode: 'progdist', startScales: 8, distillSteps: 50 })).toEqual({ ema: 1, scales: 4 });
  expect(() => consistencySchedule(0, { ...options, scaleMode: 'fixed' })).toThrow(RangeError);
});
it("EDM2's learning rate rises, stays, and falls as a root", () => {
  const rate = (images: number): number => inverseSqrtRate(images, { ref: 0.01, batch: 10, refBatches: 100, rampUp: 100 });
  expect([rate(50), rate(100), rate(1000), rate(4000)]).toEqual([0.005, 0.01, 0.01, 0.005]);
});
