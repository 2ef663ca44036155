import { type Path } from '../paths.ts';
import { ancestralSplit } from './churn.ts';
import { straight } from './euler.ts';
import { type Plan, callAt, inRatios } from './sampler.ts';

/** Euler to a lower sigma, then fresh noise up to the grid's. @param options.eta 0 is `euler`, 1 the full posterior noise @source crowsonkb/k-diffusion, sample_euler_ancestral */
export const eulerAncestral = (path: Path, { eta = 1, sNoise = 1 }: { eta?: number; sNoise?: number } = {}): Plan => (grid) => inRatios('eulerAncestral', path, grid, (ratios) => ratios.slice(1).map((to, i) => {
  const from = ratios[i] as number;
  const { down, up } = ancestralSplit(from, to, eta);
  const [x, denoised] = straight(from, down);
  return { ...callAt(path, from), next: { x: [x], denoised: [denoised], noise: up * sNoise } };
}));
