import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { linearBetas, snrOf, vpSchedule } from '../../src/schedules/betas.ts';
import { consistencyWeight, flowWeight, minSnr, p2, softMinSnr, truncatedSnr } from '../../src/schedules/weightings.ts';

describe('Min-SNR, gamma 5', () => {
  it.each([[100, 0.05, 5, 0.049505], [5, 1, 5, 0.833333], [1, 1, 1, 0.5], [0.1, 1, 0.1, 0.090909]])('at a ratio of %d', (snr, eps, x0, v) => {
    expect(minSnr(snr, 'epsilon')).toBeCloseTo(eps, 6);
    expect(minSnr(snr, 'sample')).toBeCloseTo(x0, 6);
    expect(minSnr(snr, 'v_prediction')).toBeCloseTo(v, 6);
  });
  it('for eps is 1 from step 130 of the linear schedule on, and less before', () => {
    const weights = Array.from(snrOf(vpSchedule(linearBetas(1000))), (snr) => minSnr(snr, 'epsilon'));
    expect(weights.findIndex((w) => w === 1)).toBe(130);
    expect(weights.slice(130).every((w) => w === 1)).toBe(true);
  });
  it('for v is largest at the ratio gamma: gamma / (gamma + 1)', () => {
    const peak = minSnr(5, 'v_prediction');
    expect(peak).toBeCloseTo(5 / 6, 12);
    for (const snr of [0.01, 1, 4.9, 5.1, 50, 1e6]) expect(minSnr(snr, 'v_prediction')).toBeLessThan(peak);
  });
  it('is one loss on x0, whatever the network predicts', () => fc.assert(fc.property(fc.double({ min: 1e-3, max: 1e3, noNaN: true }), (snr) => {
    const onX0 = minSnr(snr, 'sample');
    const t = 1 / (1 + Math.sqrt(snr));
    expect(minSnr(snr, 'epsilon') * snr).toBeCloseTo(onX0, 8);
    expect(minSnr(snr, 'v_prediction') * (snr + 1)).toBeCloseTo(onX0, 8);
    expect(minSnr(snr, 'flow') / t ** 2).toBeCloseTo(onX0, 8);
  })));
  it('takes its limits where there is no signal, or no noise', () => {
    expect(['epsilon', 'sample', 'v_prediction', 'flow'].map((p) => minSnr(0, p as 'sample'))).toEqual([1, 0, 0, 0]);
    expect(['epsilon', 'sample', 'v_prediction', 'flow'].map((p) => minSnr(Infinity, p as 'sample'))).toEqual([0, 5, 0, 0]);
  });
  it('with a boundless gamma is the plain eps loss', () => expect(minSnr(1e5, 'epsilon', Infinity)).toBe(1));
  it('refuses a gamma of 0', () => expect(() => minSnr(1, 'sample', 0)).toThrow(RangeError));
});

it('P2, truncated and soft weights', () => {
  expect(p2(3)).toBe(0.25);
  expect(p2(3, { gamma: 0 })).toBe(1);
  expect([truncatedSnr(0.2), truncatedSnr(7)]).toEqual([1, 7]);
  expect(softMinSnr(0.5)).toBeCloseTo(0.25, 12);
});
it("SD3's: cosmap is 0.63662 at 0 and 1.27324 in the middle", () => {
  expect(flowWeight('cosmap', 0)).toBeCloseTo(0.63662, 5);
  expect(flowWeight('cosmap', 0.5)).toBeCloseTo(1.27324, 5);
  expect(flowWeight('sigma_sqrt', 0.5)).toBe(4);
  expect(flowWeight('none', 0.3)).toBe(1);
});
it("consistency models' by name", () => {
  expect((['snr', 'snr+1', 'karras', 'truncated-snr', 'uniform'] as const).map((kind) => consistencyWeight(kind, 0.25))).toEqual([0.25, 1.25, 4.25, 1, 1]);
});
