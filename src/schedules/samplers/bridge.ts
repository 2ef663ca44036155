/** Samplers that start at the source image. */
import { type ResidualShift, type SchroedingerBridge, bridgePosterior, brownianBridgeStd, residualInputScale, residualPosterior } from '../bridges.ts';
import type { Level } from '../paths.ts';
import { type Plan, type SamplerStep, pairs } from './sampler.ts';

const bare = (t: number): Level => ({ t, alpha: 1, sigma: 0 });
const estimate = { x: 0, output: 1 } as const;

/**
 * I2SB from the source (step N-1) to step 0. The network (wrapped to give x0) is told the step index.
 * @param options.otOde leaves out all noise
 * @source Liu et al. 2023, arXiv 2302.05872, algorithm 2
 */
export const i2sb = (bridge: SchroedingerBridge, { otOde = false }: { otOde?: boolean } = {}): Plan => (grid) => ({
  start: 1, end: 1,
  steps: pairs(grid.map(bare), (from, to): SamplerStep => {
    const { x, denoised, variance } = bridgePosterior(bridge, from.t, to.t);
    return { level: from, inputScale: 1, denoised: estimate, next: { x: [x], denoised: [denoised], noise: otOde || to.t === 0 ? 0 : Math.sqrt(variance) } };
  }),
});

/**
 * LBM from the source (t = 1) to the target (t = 0): a straight step towards the estimate, then the bridge's noise again.
 * @param options.noise scale of the Brownian bridge
 * @source Chadebec et al. 2025, arXiv 2503.07535; gojasper/LBM, sample
 */
export const latentBridge = ({ noise }: { noise: number }): Plan => (grid) => ({
  start: 1, end: 1,
  steps: pairs(grid.map((t) => ({ t, alpha: 1 - t, sigma: t })), (from, to): SamplerStep => (
    { level: from, inputScale: 1, denoised: estimate, next: { x: [to.t / from.t], denoised: [1 - to.t / from.t], noise: brownianBridgeStd(to.t, noise) } }
  )),
});

/**
 * ResShift, from source + kappa sqrt(eta_{T-1}) z down the grid T-1, ..., 0, -1 (its end is the estimate itself).
 * @source Yue et al. 2023, arXiv 2307.12348, algorithm 2
 */
export const resShift = (shift: ResidualShift, { space = 'pixel' }: { space?: 'latent' | 'pixel' } = {}): Plan => (grid) => {
  if (grid.some((t, i) => t !== (grid[0] as number) - i) || grid.at(-1) !== -1) throw new RangeError(`resShift: expected a grid that falls by one to -1 but received [${grid.join(', ')}]`);
  return {
    start: 1, end: 1,
    steps: pairs(grid.map(bare), (from): SamplerStep => {
      const { x, denoised, variance } = residualPosterior(shift, from.t);
      return { level: from, inputScale: residualInputScale(shift, from.t, space), denoised: estimate, next: { x: [x], denoised: [denoised], noise: Math.sqrt(variance) } };
    }),
  };
};
