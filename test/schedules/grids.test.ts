import { describe, expect, it } from 'vitest';
import { dynamicMu, exponentialShift, flowTimes, linearShift, resolutionShift, shiftTime, stretchToTerminal } from '../../src/schedules/shift.ts';
import { bridgeIndices, lcmTimesteps, roundHalfEven, spaceTimesteps } from '../../src/schedules/timesteps.ts';
import { discreteTimes, distillationTimes, logNormalSigmas, logitNormalDensity, logitNormalTimes, modeTimes, uShapedTimes, uniformTimes, uniformTimesteps } from '../../src/schedules/draws.ts';
import { normal, seeded, uniform } from '../../src/random.ts';

describe('shift', () => {
  it('3 maps .25, .5, .75, 1 to .5, .75, .9, 1; 1 changes nothing', () => {
    [[0.25, 0.5], [0.5, 0.75], [0.75, 0.9], [1, 1], [0, 0]].forEach(([t, shifted]) => expect(shiftTime(t as number, 3)).toBeCloseTo(shifted as number, 12));
    expect(shiftTime(0.37, 1)).toBe(0.37);
  });
  it("FLUX: mu is 0.5, 0.63, 1.15 at 256, 1024, 4096 tokens; t = 0.5 goes to 0.652489 and 0.759511", () => {
    expect(dynamicMu(256)).toBe(0.5);
    expect(dynamicMu(1024)).toBeCloseTo(0.63, 12);
    expect(dynamicMu(4096)).toBeCloseTo(1.15, 12);
    expect(exponentialShift(0.5, dynamicMu(1024))).toBeCloseTo(0.652489, 6);
    expect(exponentialShift(0.5, dynamicMu(4096))).toBeCloseTo(0.759511, 6);
    expect(Math.exp(1.15)).toBeCloseTo(3.158193, 6);
  });
  it('exponential in mu is the plain shift by exp(mu), linear in mu the one by mu', () => {
    expect(exponentialShift(0.3, Math.log(2))).toBeCloseTo(shiftTime(0.3, 2), 12);
    expect(linearShift(0.3, 2)).toBeCloseTo(shiftTime(0.3, 2), 12);
  });
  it('carries a resolution, and stretches to a terminal', () => {
    expect(resolutionShift(1024 ** 2, 512 ** 2)).toBe(2);
    const stretched = stretchToTerminal([1, 0.5, 0.25], 0.1);
    expect(stretched[0]).toBe(1);
    expect(stretched[2]).toBeCloseTo(0.1, 12);
  });
  it('a flow grid of K calls: 1 ... 1/K, 0', () => {
    expect(flowTimes(4)).toEqual([1, 0.75, 0.5, 0.25, 0]);
    expect(flowTimes(2, 3)).toEqual([1, 0.75, 0]);
    expect(() => flowTimes(0)).toThrow(RangeError);
  });
});

describe('timesteps', () => {
  it('trailing starts at T - 1, leading never gets there, linspace has both ends', () => {
    expect(spaceTimesteps('trailing', 4, 1000)).toEqual([999, 749, 499, 249]);
    expect(spaceTimesteps('leading', 4, 1000)).toEqual([750, 500, 250, 0]);
    expect(spaceTimesteps('leading', 4, 1000, { offset: 1 })).toEqual([751, 501, 251, 1]);
    expect(spaceTimesteps('linspace', 4, 1000)).toEqual([999, 666, 333, 0]);
    expect(spaceTimesteps('linspace', 3, 1000, { round: false })).toEqual([999, 499.5, 0]);
    expect(spaceTimesteps('trailing', 1, 1000)).toEqual([999]);
  });
  it('refuses more steps than timesteps', () => expect(() => spaceTimesteps('leading', 11, 10)).toThrow('expected steps in 1..10 but received 11'));
  it("LCM's 4, 8 and 1", () => {
    expect(lcmTimesteps(4)).toEqual([999, 759, 499, 259]);
    expect(lcmTimesteps(8)).toEqual([999, 879, 759, 639, 499, 379, 259, 139]);
    expect(lcmTimesteps(1)).toEqual([999]);
    expect(() => lcmTimesteps(51)).toThrow(RangeError);
  });
  it('bridge indices are rounded points with both ends', () => {
    expect(bridgeIndices(2, 1000)).toEqual([0, 500, 999]);
    expect(bridgeIndices(1, 1000)).toEqual([0, 999]);
    expect(() => bridgeIndices(0, 10)).toThrow(RangeError);
  });
  it('rounds halves to even', () => expect([0.5, 1.5, 2.5, 2.4, 2.6].map(roundHalfEven)).toEqual([0, 2, 2, 2, 3]));
});

describe('draws', () => {
  const count = 20_000;
  const u = uniform(seeded(5), count);
  const n = normal(seeded(6), count);
  const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
  it('logit-normal (0, 1): mean .5, std .2084, P(t < .1) = .0140, P(.25 < t < .75) = .728; medians', () => {
    const t = logitNormalTimes(n);
    expect(mean(t)).toBeCloseTo(0.5, 2);
    expect(Math.sqrt(mean(t.map((x) => (x - 0.5) ** 2)))).toBeCloseTo(0.2084, 2);
    expect(mean(t.map((x) => (x < 0.1 ? 1 : 0)))).toBeCloseTo(0.014, 2);
    expect(mean(t.map((x) => (x > 0.25 && x < 0.75 ? 1 : 0)))).toBeCloseTo(0.728, 2);
    expect(logitNormalTimes([0])).toEqual([0.5]);
    expect(logitNormalTimes([0], { mean: -0.4 })[0]).toBeCloseTo(0.40131, 5);
  });
  it('the density of logit-normal draws sums to one', () => {
    const steps = 2000;
    const sum = Array.from({ length: steps }, (_, i) => logitNormalDensity((i + 0.5) / steps, { mean: 0.3, std: 0.8 })).reduce((a, b) => a + b, 0) / steps;
    expect(sum).toBeCloseTo(1, 4);
  });
  it('mode keeps the ends and the middle, whatever its scale', () => {
    expect(modeTimes([0, 1], { scale: 0.8 }).map((t) => t + 0)).toEqual([1, 0]);
    expect(modeTimes([0.5])[0]).toBeCloseTo(0.5, 12);
  });
  it('U-shaped for a = 4: density 2.0746 at the ends, .55144 in the middle', () => {
    const t = uShapedTimes(u);
    const share = (low: number, high: number): number => mean(t.map((x) => (x >= low && x < high ? 1 : 0))) / (high - low);
    expect(share(0, 0.04)).toBeGreaterThan(1.75);
    expect(share(0.96, 1)).toBeGreaterThan(1.75);
    expect(share(0.45, 0.55)).toBeCloseTo(0.55144, 1);
    expect(Math.min(...t)).toBeGreaterThanOrEqual(1e-5);
    expect(Math.max(...t)).toBeLessThanOrEqual(1 - 1e-5);
  });
  it('log-normal sigmas have the given mean and deviation in the logarithm', () => {
    const logs = logNormalSigmas(n).map(Math.log);
    expect(mean(logs)).toBeCloseTo(-1.2, 1);
    expect(Math.sqrt(mean(logs.map((x) => (x + 1.2) ** 2)))).toBeCloseTo(1.2, 1);
  });
  it('discrete times come as often as their weights say', () => {
    const t = discreteTimes(u, [0.25, 0.5, 0.75, 1], [0.05, 0.1, 0.05, 0.8]);
    expect(mean(t.map((x) => (x === 1 ? 1 : 0)))).toBeCloseTo(0.8, 2);
    expect(mean(t.map((x) => (x === 0.5 ? 1 : 0)))).toBeCloseTo(0.1, 2);
    expect(() => discreteTimes([0.1], [1, 2], [1])).toThrow(RangeError);
    expect(() => discreteTimes([0.1], [1], [0])).toThrow(RangeError);
  });
  it('a student of one call looks at the noise end, one of two halfway too', () => {
    expect(distillationTimes([0, 0.9])).toEqual([0.999, 0.999]);
    expect(distillationTimes([0.1, 0.6], { calls: 2 })).toEqual([0.999, expect.closeTo(0.4995, 12)]);
    expect(() => distillationTimes([0], { calls: 0 })).toThrow(RangeError);
  });
  it('uniform draws stay in range', () => {
    expect(uniformTimes([0, 0.5], 2, 4)).toEqual([2, 3]);
    expect(uniformTimesteps([0, 0.5, 0.999999], 10)).toEqual([0, 5, 9]);
  });
});
