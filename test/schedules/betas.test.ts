import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { alphasCumprod, betasFor, cosineBetas, expBetas, linearBetas, linspace, rescaleZeroTerminalSnr, scaledLinearBetas, sigmasOf, sigmoidBetas, snrOf, vpSchedule } from '../../src/schedules/betas.ts';

const close = (received: number | undefined, expected: number, relative = 1e-4): void => expect(Math.abs((received as number) - expected)).toBeLessThanOrEqual(relative * Math.abs(expected));

describe('linear', () => {
  const { alphasCumprod: abar } = vpSchedule(linearBetas(1000));
  it('has the known products', () => {
    close(abar[0], 0.9999, 1e-6);
    close(abar[499], 0.078587);
    close(abar[999], 4.0358e-5);
  });
  it('falls below signal-to-noise ratios 5 and 1 at 130 and 259', () => {
    const snr = snrOf({ alphasCumprod: abar });
    expect(snr.findIndex((x) => x < 5)).toBe(130);
    expect(snr.findIndex((x) => x < 1)).toBe(259);
  });
  it('of SR3: noise levels 0.001, 0.958236, 0.999978', () => {
    const { alphasCumprod: products } = vpSchedule(linearBetas(2000, { start: 1e-6, end: 1e-2 }));
    const level = (t: number): number => Math.sqrt(1 - (products[t] as number));
    close(level(0), 0.001, 2e-2); // 1 - abar is 1e-6 here, a few units in the last place of float32
    close(level(999), 0.958236);
    close(level(1999), 0.999978);
  });
});

describe('cosine', () => {
  const schedule = vpSchedule(cosineBetas(1000));
  it('has the known products, and clips its last beta only', () => {
    close(schedule.alphasCumprod[0], 0.9999587, 1e-6);
    close(schedule.alphasCumprod[499], 0.493844);
    expect(schedule.betas[999]).toBeCloseTo(0.999, 6);
    expect(schedule.betas.filter((beta) => beta > 0.9989).length).toBe(1);
  });
  it('falls below a signal-to-noise ratio of 5 at 261', () => expect(snrOf(schedule).findIndex((x) => x < 5)).toBe(261));
});

describe('zero terminal SNR', () => {
  it('keeps the first product, ends at 0, and has the known betas', () => {
    const betas = rescaleZeroTerminalSnr(linearBetas(1000));
    const abar = alphasCumprod(betas);
    close(abar[0], 0.9999, 1e-6);
    close(abar[499], 0.076029);
    expect(abar[999]).toBe(0);
    expect(betas[999]).toBe(1);
    close(betas[998], 0.752267);
  });
});

describe('every schedule', () => {
  it.each([['linear', linearBetas(200)], ['scaled linear', scaledLinearBetas(200)], ['cosine', cosineBetas(200)], ['exponential', expBetas(200)], ['sigmoid', sigmoidBetas(200)], ['given', betasFor(200, (u) => 1 - u * 0.99)]])('%s loses signal at each step', (_, betas) => {
    const { alphasCumprod: abar } = vpSchedule(betas);
    const sigmas = sigmasOf({ alphasCumprod: abar });
    for (let t = 1; t < 200; t++) {
      expect(abar[t] as number).toBeLessThan(abar[t - 1] as number);
      expect(sigmas[t] as number).toBeGreaterThan(sigmas[t - 1] as number);
    }
  });
  it('scaled linear starts and ends where it is told', () => {
    const betas = scaledLinearBetas(1000);
    close(betas[0], 0.00085, 1e-6);
    close(betas[999], 0.012, 1e-6);
  });
  it('refuses no steps, no betas and betas that are no probabilities', () => {
    expect(() => linearBetas(0)).toThrow('linearBetas: expected steps to be a positive integer but received 0');
    expect(() => cosineBetas(1.5)).toThrow(RangeError);
    expect(() => vpSchedule([])).toThrow(RangeError);
    expect(() => vpSchedule([0.1, 1.5])).toThrow('1.5 at 1');
  });
});

it('linspace has both ends, exactly', () => fc.assert(fc.property(fc.double({ min: -10, max: 10, noNaN: true }), fc.double({ min: -10, max: 10, noNaN: true }), fc.integer({ min: 2, max: 50 }), (a, b, n) => {
  const grid = linspace(a, b, n);
  expect(grid[0] === a).toBe(true); // 0 and -0 are one end
  expect(grid[n - 1] === b).toBe(true);
  expect(grid.length).toBe(n);
})));
