import type { Level, Path } from '../paths.ts';
import { type Plan, type SamplerStep, levelsOf, pairs } from './sampler.ts';

/**
 * The posterior of a step back on a variance-preserving path: mean = x * state + denoised * D.
 * `small` is the true posterior variance, `large` the forward one (beta of the step).
 * @source Ho et al. 2020, arXiv 2006.11239, eq. 6 and 7; respaced as in arXiv 2102.09672
 */
export const ddpmPosterior = (from: Level, to: Level): Readonly<{ x: number; denoised: number; small: number; large: number }> => {
  const [abar, before] = [from.alpha ** 2, to.alpha ** 2];
  const [rest, restBefore] = [from.sigma ** 2, to.sigma ** 2];
  const alpha = abar / before;
  return { x: (Math.sqrt(alpha) * restBefore) / rest, denoised: (to.alpha * (1 - alpha)) / rest, small: (restBefore / rest) * (1 - alpha), large: 1 - alpha };
};

/** The ancestral sampler. @param options.variance which of the two variances the noise has */
export const ddpm = (path: Path, { variance = 'small' }: { variance?: 'small' | 'large' } = {}): Plan => (grid) => ({
  start: 1, end: 1,
  steps: pairs(levelsOf('ddpm', path, grid), (from, to): SamplerStep => {
    const posterior = ddpmPosterior(from, to);
    return { level: from, inputScale: 1, denoised: { x: 0, output: 1 }, next: { x: [posterior.x], denoised: [posterior.denoised], noise: to.sigma === 0 ? 0 : Math.sqrt(posterior[variance]) } };
  }),
});
