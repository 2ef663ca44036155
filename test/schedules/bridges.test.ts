import { describe, expect, it } from 'vitest';
import { bridgePosterior, brownianBridgeStd, lbmTimes, residualInputScale, residualNoise, residualPosterior, residualShift, schroedingerBridge, symmetricBetas } from '../../src/schedules/bridges.ts';

const at = (table: Float64Array, n: number): number => table[n] as number;

describe('I2SB', () => {
  const bridge = schroedingerBridge(symmetricBetas(1000, { betaMax: 0.3 }));
  it('has the known deviations', () => {
    expect(at(bridge.stdForward, 999) ** 2).toBeCloseTo(0.141027, 6);
    expect(at(bridge.stdForward, 999)).toBeCloseTo(0.375536, 6);
    expect(at(schroedingerBridge(symmetricBetas(1000, { betaMax: 1 })).stdForward, 999) ** 2).toBeCloseTo(0.246929, 6);
    expect(at(bridge.stdForward, 0)).toBeCloseTo(0.01, 10);
    expect(at(bridge.stdBackward, 999)).toBeCloseTo(0.01, 10);
  });
  it('is the target at one end and the source at the other, widest in between', () => {
    expect(at(bridge.muX0, 0)).toBeCloseTo(0.9992914, 7);
    expect(at(bridge.muX1, 999)).toBeCloseTo(0.9992914, 7);
    bridge.muX0.forEach((mu, n) => expect(mu + at(bridge.muX1, n)).toBeCloseTo(1, 12));
    expect(Math.max(...bridge.std)).toBeCloseTo(0.187892, 6);
    expect(Math.max(...schroedingerBridge(symmetricBetas(1000, { betaMax: 1 })).std)).toBeCloseTo(0.248677, 6);
    expect(bridge.std.indexOf(Math.max(...bridge.std))).toBe(499);
  });
  it('betas are symmetric for even and odd lengths', () => {
    for (const n of [10, 11]) expect([...symmetricBetas(n)]).toEqual([...symmetricBetas(n)].reverse());
    expect(() => symmetricBetas(1)).toThrow(RangeError);
  });
  it('a step back weighs to one, and stepping twice by the means is stepping once', () => {
    const whole = bridgePosterior(bridge, 900, 100);
    expect(whole.x + whole.denoised).toBeCloseTo(1, 12);
    const [first, second] = [bridgePosterior(bridge, 900, 500), bridgePosterior(bridge, 500, 100)];
    expect(first.x * second.x).toBeCloseTo(whole.x, 12);
    expect(() => bridgePosterior(bridge, 5, 5)).toThrow(RangeError);
  });
  it('at 100 steps keeps its total noise only if the start is scaled too', () => {
    expect(at(schroedingerBridge(symmetricBetas(100)).stdForward, 99) ** 2).toBeCloseTo(0.0487, 4);
    expect(at(schroedingerBridge(symmetricBetas(100, { start: 1e-3 })).stdForward, 99) ** 2).toBeCloseTo(0.1407, 4);
  });
});

it('LBM: deviations .0021651, .0025, .0021651 for scale .005; none at the ends', () => {
  [[0.25, 0.0021651], [0.5, 0.0025], [0.75, 0.0021651], [0, 0], [1, 0]].forEach(([t, std]) => expect(brownianBridgeStd(t as number, 0.005)).toBeCloseTo(std as number, 7));
  expect(lbmTimes(4)).toEqual([1, 0.75, 0.5, 0.25, 0]);
  expect(() => lbmTimes(0)).toThrow(RangeError);
});

describe('ResShift', () => {
  it('T = 15 and T = 4', () => {
    const long = residualShift(15).sqrtEtas;
    expect([long[0], long[14]]).toEqual([0.02, expect.closeTo(0.99, 12)]);
    expect(long[1]).toBeCloseTo(0.11717, 5);
    [0.1, 0.5201, 0.76138, 0.99].forEach((value, t) => expect(residualShift(4).sqrtEtas[t]).toBeCloseTo(value, 4));
  });
  it('T = 4 posteriors: weights and variances; the last step is the estimate itself', () => {
    const shift = residualShift(4);
    [0, 0.03697, 0.46662, 0.59147].forEach((x, t) => expect(residualPosterior(shift, t).x).toBeCloseTo(x, 4));
    [0, 0.03852, 0.57712, 0.9473].forEach((variance, t) => expect(residualPosterior(shift, t).variance).toBeCloseTo(variance, 4));
    for (let t = 0; t < 4; t++) expect(residualPosterior(shift, t).x + residualPosterior(shift, t).denoised).toBeCloseTo(1, 12);
    expect(residualPosterior(shift, 0).denoised).toBe(1);
  });
  it('scales inputs differently for pixels and latents', () => {
    const shift = residualShift(4);
    expect(residualInputScale(shift, 3, 'latent')).toBeCloseTo(1 / Math.sqrt(0.99 ** 2 * 4 + 1), 12);
    expect(residualInputScale(shift, 3, 'pixel')).toBeCloseTo(1 / (6 * 0.99 + 1), 12);
  });
  it('refuses one step and no noise', () => {
    expect(() => residualShift(1)).toThrow(RangeError);
    expect(() => residualShift(4, { kappa: 0 })).toThrow(RangeError);
  });
});

it('RDDM: shares .001998, .74975, 1 of the residual, noise variance .25025 in the middle', () => {
  const { residual, noise } = residualNoise(1000);
  expect(at(residual, 0)).toBeCloseTo(0.001998, 6);
  expect(at(residual, 499)).toBeCloseTo(0.74975, 5);
  expect(at(residual, 999)).toBeCloseTo(1, 10);
  expect(at(noise, 499) ** 2).toBeCloseTo(0.25025, 5);
  expect(at(residualNoise(1000, { sumScale: 0.01 }).noise, 999)).toBeCloseTo(0.1, 10);
});
