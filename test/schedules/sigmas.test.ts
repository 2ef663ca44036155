import { describe, expect, it } from 'vitest';
import { betaCdf, betaQuantile } from '../../src/schedules/betaQuantile.ts';
import { linearBetas, sigmasOf, vpSchedule } from '../../src/schedules/betas.ts';
import { appendZero, betaSpacedSigmas, edmSigmas, exponentialSigmas, interpolate, karrasSigmas, polyexponentialSigmas, timestepOf, vpSdeSigmas } from '../../src/schedules/sigmas.ts';

const range = { sigmaMin: 0.002, sigmaMax: 80 };
const near = (received: ArrayLike<number>, expected: readonly number[], digits = 6): void => {
  expect(received.length).toBe(expected.length);
  expected.forEach((value, i) => expect(Math.abs((received[i] as number) / value - 1)).toBeLessThan(10 ** -digits));
};

describe('Karras', () => {
  it('n = 5: 80, 17.52783, 2.515219, 0.1697528, 0.002', () => near(karrasSigmas(5, range), [80, 17.52783, 2.515219, 0.1697528, 0.002]));
  it("EDM's 18: 80, 57.5860, 40.7856, 28.3746 ... 0.0229, 0.00753, 0.002, 0", () => {
    const sigmas = edmSigmas(18);
    near(sigmas.slice(0, 4), [80, 57.586, 40.7856, 28.3746], 5);
    near(sigmas.slice(-3), [0.0229, 0.00753, 0.002], 2);
    expect(appendZero(sigmas).at(-1)).toBe(0);
    expect(appendZero(sigmas).length).toBe(19);
  });
});

it('one sigma is the largest', () => {
  for (const make of [karrasSigmas, exponentialSigmas, polyexponentialSigmas]) expect(make(1, range)[0]).toBeCloseTo(80, 10);
});
it('exponential is geometric; polyexponential with rho 1 is the same', () => {
  const sigmas = exponentialSigmas(4, { sigmaMin: 0.1, sigmaMax: 100 });
  near(sigmas, [100, 10, 1, 0.1], 10);
  near(polyexponentialSigmas(4, { sigmaMin: 0.1, sigmaMax: 100 }), [100, 10, 1, 0.1], 10);
});
it('the VP diffusion starts at sqrt(exp(10.05) - 1)', () => expect(vpSdeSigmas(3)[0]).toBeCloseTo(Math.sqrt(Math.exp(10.05) - 1), 8));
it('refuses an empty or impossible grid', () => {
  expect(() => karrasSigmas(0, range)).toThrow(RangeError);
  expect(() => exponentialSigmas(3, { sigmaMin: 5, sigmaMax: 1 })).toThrow('sigmaMin <= sigmaMax');
});

describe('beta quantiles', () => {
  it('are the arcsine law for shapes one half', () => { for (const p of [0.01, 0.3, 0.5, 0.9]) expect(betaQuantile(p, 0.5, 0.5)).toBeCloseTo(Math.sin((Math.PI * p) / 2) ** 2, 12); });
  it('undo the distribution function', () => { for (const x of [1e-4, 0.2, 0.7, 0.999]) expect(betaQuantile(betaCdf(x, 0.6, 0.6), 0.6, 0.6)).toBeCloseTo(x, 10); });
  it('has the ends, and refuses what is no probability', () => {
    expect([betaQuantile(0, 2, 3), betaQuantile(1, 2, 3), betaCdf(-1, 2, 3), betaCdf(2, 2, 3)]).toEqual([0, 1, 0, 1]);
    expect(() => betaQuantile(1.1, 1, 1)).toThrow(RangeError);
    expect(() => betaQuantile(0.5, 0, 1)).toThrow(RangeError);
  });
  it('space sigmas densely at both ends', () => {
    const sigmas = betaSpacedSigmas(5, { sigmaMin: 0, sigmaMax: 1 });
    expect(sigmas[0]).toBe(1);
    expect(sigmas[4]).toBe(0);
    expect((sigmas[0] as number) - (sigmas[1] as number)).toBeLessThan((sigmas[1] as number) - (sigmas[2] as number));
  });
});

it('a sigma of the table gives back its timestep, and one between a place between', () => {
  const sigmas = sigmasOf(vpSchedule(linearBetas(1000)));
  const logs = sigmas.map(Math.log);
  for (const t of [0, 1, 500, 998, 999]) expect(timestepOf(sigmas[t] as number, logs)).toBeCloseTo(t, 6);
  const between = timestepOf(Math.sqrt((sigmas[300] as number) * (sigmas[301] as number)), logs);
  expect(between).toBeCloseTo(300.5, 6);
  expect(timestepOf(1e9, logs)).toBe(999);
  expect(timestepOf(0, logs)).toBe(0);
});
it('a table is read straight between entries and constant beyond', () => {
  expect([interpolate([1, 3], 0.25), interpolate([1, 3], -4), interpolate([1, 3], 9)]).toEqual([1.5, 1, 3]);
});
