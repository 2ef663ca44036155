import { type Path } from '../paths.ts';
import { type Churn, churned } from './churn.ts';
import { type Plan, callAt, inRatios } from './sampler.ts';

/** Weights of the state and the denoised estimate in one straight step in r: x + (r' - r) (x - D) / r. */
export const straight = (from: number, to: number): readonly [x: number, denoised: number] => [to / from, 1 - to / from];

/**
 * Euler's method in r = sigma / scale: on a flow x + (t' - t) u, in sigma-space x + (sigma' - sigma) d; equal to DDIM with eta 0 when there is no churn.
 * @source Karras et al. 2022, arXiv 2206.00364, algorithm 2 without its correction
 */
export const euler = (path: Path, options: Churn = {}): Plan => (grid) => inRatios('euler', path, grid, (ratios) => ratios.slice(1).map((to, i) => {
  const { sigma, churn } = churned(ratios[i] as number, ratios.length - 1, options);
  const [x, denoised] = straight(sigma, to);
  return { ...callAt(path, sigma), ...churn, next: { x: [x], denoised: [denoised] } };
}));
