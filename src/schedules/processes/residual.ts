import { residualInputScale, residualNoise, residualShift } from '../bridges.ts';
import { resShift as shiftSteps } from '../samplers/bridge.ts';
import type { SamplerStep } from '../samplers/sampler.ts';
import { type Process, checkCalls } from './process.ts';

/**
 * ResShift: x_t = target + eta_t (source - target) + kappa sqrt(eta_t) z over a few steps, and the network answers the target. Sampled with exactly the
 * steps it was trained on.
 * @param options.steps T; 4 or 15 in the releases
 * @param options.kappa the noise knob
 * @param options.space which input scaling: to unit variance for latents, to about [-1, 1] for pixels
 * @source Yue et al. 2023, arXiv 2307.12348, eq. 1-8
 */
export const resShift = ({ steps = 4, kappa = 2, space = 'pixel' }: { steps?: number; kappa?: number; space?: 'latent' | 'pixel' } = {}): Process => {
  const shift = residualShift(steps, { kappa });
  const told = (t: number): number => (t * 1000) / steps;
  const estimate = { x: 0, output: 1, source: 0 };
  const last = shift.sqrtEtas[steps - 1] as number;
  return {
    name: 'resShift',
    noisy: true,
    draw: (u) => {
      const t = Math.floor(u * steps);
      const root = shift.sqrtEtas[t] as number;
      return {
        t: told(t), noisy: { target: 1 - root ** 2, source: root ** 2, eps: kappa * root }, inputScale: residualInputScale(shift, t, space),
        goal: { target: 1, source: 0, eps: 0 }, estimate, weight: 1,
      };
    },
    sample: (calls) => {
      if (calls !== steps) throw new RangeError(`resShift: expected the ${steps} steps it was trained on but received ${calls}`);
      const recipe = shiftSteps(shift, { space })(Array.from({ length: steps + 1 }, (_, i) => steps - 1 - i));
      return { start: { target: 0, source: 1, eps: kappa * last }, recipe, calls: recipe.steps.map(({ level }) => ({ t: told(level.t), estimate })) };
    },
  };
};

/**
 * RDDM: x_t = target + A_t (source - target) + B_t z; the network answers the residual source - target, which fixes the noise too. Deterministic steps.
 * @param options.sumScale noise variance at the end; 0.01 in the conditional default, 1 for deraining
 * @source Liu et al. 2024, arXiv 2308.13712, eq. 7 and 13 with eta = 0
 */
export const rddm = ({ steps = 1000, sumScale = 0.01 }: { steps?: number; sumScale?: number } = {}): Process => {
  const { residual, noise } = residualNoise(steps, { sumScale });
  const told = (t: number): number => (t * 1000) / steps;
  const estimate = { x: 0, output: -1, source: 1 };
  const at = (t: number): Readonly<{ a: number; b: number }> => (t < 0 ? { a: 0, b: 0 } : { a: residual[t] as number, b: noise[t] as number });
  return {
    name: 'rddm',
    noisy: true,
    draw: (u) => {
      const t = Math.floor(u * steps);
      const { a, b } = at(t);
      return { t: told(t), noisy: { target: 1 - a, source: a, eps: b }, inputScale: 1, goal: { target: -1, source: 1, eps: 0 }, estimate, weight: 1 };
    },
    sample: (calls) => {
      checkCalls('rddm', calls, steps);
      const grid = [...Array.from({ length: calls }, (_, k) => Math.round(steps - (k * steps) / calls) - 1), -1];
      const moves = grid.slice(1).map((to, i) => {
        const [here, there] = [at(grid[i] as number), at(to)];
        const kept = there.b / here.b;
        return { t: grid[i] as number, kept, shift: there.a - kept * here.a };
      });
      // x' = target' + A' residual + B' z, with z = (x - target' - A residual) / B and residual = source - target'.
      const recipeSteps = moves.map(({ t, kept, shift }): SamplerStep => ({
        level: { t, alpha: 1, sigma: at(t).b }, inputScale: 1, denoised: { x: 0, output: 1 }, next: { x: [kept], denoised: [1 - kept - shift] },
      }));
      return {
        start: { target: 0, source: 1, eps: Math.sqrt(sumScale) }, recipe: { start: 1, steps: recipeSteps, end: 1 },
        calls: moves.map(({ t }) => ({ t: told(t), estimate })), shift: moves.map(({ shift }) => shift),
      };
    },
  };
};
