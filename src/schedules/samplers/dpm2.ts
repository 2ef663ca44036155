import { type Path } from '../paths.ts';
import { type Churn, ancestralSplit, churned } from './churn.ts';
import { straight } from './euler.ts';
import { type Plan, type SamplerStep, callAt, inRatios } from './sampler.ts';

const twoCalls = (path: Path, from: number, to: number, up = 0): SamplerStep[] => {
  const middle = Math.sqrt(from * to);
  const [x, denoised] = straight(from, middle);
  const slope = (to - from) / middle;
  return [
    { ...callAt(path, from), next: { x: [x], denoised: [denoised] } },
    { ...callAt(path, middle), next: { x: [slope, 1], denoised: [-slope], noise: up } },
  ];
};

const oneCall = (path: Path, from: number): SamplerStep => ({ ...callAt(path, from), next: { x: [0], denoised: [1] } });

/** The midpoint method, the middle taken in ln sigma. @source Karras et al. 2022 with DPM-Solver-2's middle; crowsonkb/k-diffusion, sample_dpm_2 */
export const dpm2 = (path: Path, options: Churn = {}): Plan => (grid) => inRatios('dpm2', path, grid, (ratios) => ratios.slice(1).flatMap((to, i) => {
  const { sigma, churn } = churned(ratios[i] as number, ratios.length - 1, options);
  const [first, ...rest] = to === 0 ? [oneCall(path, sigma)] : twoCalls(path, sigma, to);
  return [{ ...first as SamplerStep, ...churn }, ...rest];
}));

/** `dpm2` to a lower sigma, then fresh noise. @source crowsonkb/k-diffusion, sample_dpm_2_ancestral */
export const dpm2Ancestral = (path: Path, { eta = 1, sNoise = 1 }: { eta?: number; sNoise?: number } = {}): Plan => (grid) => inRatios('dpm2Ancestral', path, grid, (ratios) => ratios.slice(1).flatMap((to, i) => {
  const from = ratios[i] as number;
  const { down, up } = ancestralSplit(from, to, eta);
  return down === 0 ? [oneCall(path, from)] : twoCalls(path, from, down, up * sNoise);
}));
