import { type Path } from '../paths.ts';
import { type Churn, churned } from './churn.ts';
import { straight } from './euler.ts';
import { type Plan, type SamplerStep, callAt, inRatios } from './sampler.ts';

/** The second call of a Heun step: x_0 + h (d + d') / 2 in terms of this state and estimate (index 0) and those of the first call (index 1). */
export const heunCorrection = (from: number, to: number): Pick<SamplerStep, 'next'>['next'] => {
  const half = (to - from) / 2;
  return { x: [half / to, 1 + half / from], denoised: [-half / to, -half / from] };
};

/**
 * Heun's second-order method with EDM's churn: two calls a step, one where the step ends at 0; 2 n - 1 calls in all.
 * @source Karras et al. 2022, arXiv 2206.00364, algorithms 1 and 2
 * @param options.steps what `sChurn` is divided by; the number of steps unless given
 */
export const heun = (path: Path, options: Churn & { steps?: number } = {}): Plan => (grid) => inRatios('heun', path, grid, (ratios) => ratios.slice(1).flatMap((to, i) => {
  const { sigma, churn } = churned(ratios[i] as number, options.steps ?? ratios.length - 1, options);
  const [x, denoised] = straight(sigma, to);
  const first: SamplerStep = { ...callAt(path, sigma), ...churn, next: { x: [x], denoised: [denoised] } };
  return to === 0 ? [first] : [first, { ...callAt(path, to), next: heunCorrection(sigma, to) }];
}));
