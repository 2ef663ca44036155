import type { Path } from '../paths.ts';
import { ancestralSplit } from './churn.ts';
import { straight } from './euler.ts';
import { type Plan, type SamplerStep, callAt, inRatios } from './sampler.ts';

/** DPM-Solver++(2S) with ancestral noise: two calls a step, the middle at sqrt(sigma sigma'). @source crowsonkb/k-diffusion, sample_dpmpp_2s_ancestral */
export const dpmpp2sAncestral = (path: Path, { eta = 1, sNoise = 1 }: { eta?: number; sNoise?: number } = {}): Plan => (grid) => inRatios('dpmpp2sAncestral', path, grid, (ratios) => ratios.slice(1).flatMap((to, i): SamplerStep[] => {
  const from = ratios[i] as number;
  const { down, up } = ancestralSplit(from, to, eta);
  if (down === 0) return [{ ...callAt(path, from), next: { x: [0], denoised: [1], noise: up * sNoise } }];
  const middle = Math.sqrt(from * down);
  const [x, denoised] = straight(from, middle);
  const [kept, moved] = straight(from, down);
  return [
    { ...callAt(path, from), next: { x: [x], denoised: [denoised] } },
    { ...callAt(path, middle), next: { x: [0, kept], denoised: [moved], noise: up * sNoise } },
  ];
}));

/** DPM-Solver++ (stochastic), second order, two calls and two draws a step. @param options.r where between the two levels the middle lies, in ln sigma @source crowsonkb/k-diffusion, sample_dpmpp_sde */
export const dpmppSde = (path: Path, { eta = 1, sNoise = 1, r = 1 / 2 }: { eta?: number; sNoise?: number; r?: number } = {}): Plan => (grid) => inRatios('dpmppSde', path, grid, (ratios) => ratios.slice(1).flatMap((to, i): SamplerStep[] => {
  const from = ratios[i] as number;
  if (to === 0) return [{ ...callAt(path, from), next: { x: [0], denoised: [1] } }];
  const middle = from * (to / from) ** r;
  const half = ancestralSplit(from, middle, eta);
  const whole = ancestralSplit(from, to, eta);
  const [x, denoised] = straight(from, half.down);
  const [kept, moved] = straight(from, whole.down);
  const share = 1 / (2 * r);
  return [
    { ...callAt(path, from), next: { x: [x], denoised: [denoised], noise: half.up * sNoise } },
    { ...callAt(path, middle), next: { x: [0, kept], denoised: [moved * share, moved * (1 - share)], noise: whole.up * sNoise } },
  ];
}));
