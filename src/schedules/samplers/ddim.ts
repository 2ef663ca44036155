import { type Level, type Path } from '../paths.ts';
import { type Plan, type SamplerStep, levelsOf, pairs } from './sampler.ts';

/** The noise a DDIM step of a given eta adds: eta (sigma'/sigma) sqrt(1 - (alpha / alpha')^2), on a variance-preserving path. */
export const ddimStd = (from: Level, to: Level, eta: number): number => (eta === 0 || to.sigma === 0 ? 0 : eta * (to.sigma / from.sigma) * Math.sqrt(1 - (from.alpha / to.alpha) ** 2));

/**
 * DDIM on any path: x' = alpha' D + sqrt(sigma'^2 - s^2) n + s z, with n = (x - alpha D) / sigma. Works where alpha starts at 0.
 * On a flow it is Euler's method; with eta 1 on a variance-preserving path it is the ancestral sampler.
 * @source Song et al. 2021, arXiv 2010.02502, eq. 12 and 16
 */
export const ddim = (path: Path, { eta = 0 }: { eta?: number } = {}): Plan => {
  if (!(eta >= 0)) throw new RangeError(`ddim: expected eta to be at least 0 but received ${eta}`);
  return (grid) => ({ start: 1, end: 1, steps: pairs(levelsOf('ddim', path, grid), (from, to): SamplerStep => {
    const std = ddimStd(from, to, eta);
    const direction = Math.sqrt(Math.max(0, to.sigma ** 2 - std ** 2)) / from.sigma;
    return { level: from, inputScale: 1, denoised: { x: 0, output: 1 }, next: { x: [direction], denoised: [to.alpha - from.alpha * direction], noise: std } };
  }) });
};
