import type { Path } from '../paths.ts';
import { type Plan, type SamplerStep, levelsOf, pairs } from './sampler.ts';

/** Weights of the state and the network's x0 in a consistency function. */
export type Boundary = (t: number) => Readonly<{ cSkip: number; cOut: number }>;

/** LCM's boundary condition on timesteps: f(x, 0) = x. @source Luo et al. 2023, arXiv 2310.04378, with the timestep scaled by 10 as in its code */
export const lcmBoundary = ({ scaling = 10, sigmaData = 0.5 }: { scaling?: number; sigmaData?: number } = {}): Boundary => (t) => {
  const s = t * scaling;
  return { cSkip: sigmaData ** 2 / (s ** 2 + sigmaData ** 2), cOut: s / Math.sqrt(s ** 2 + sigmaData ** 2) };
};

/**
 * Multistep consistency sampling: jump to the clean image, then noise it again to the next level with fresh noise. One call a step.
 * @param options.boundary how the network's x0 becomes the consistency output; the output itself by default
 * @source Song et al. 2023, arXiv 2303.01469, algorithm 1
 */
export const consistency = (path: Path, { boundary = () => ({ cSkip: 0, cOut: 1 }) }: { boundary?: Boundary } = {}): Plan => (grid) => ({
  start: 1, end: 1,
  steps: pairs(levelsOf('consistency', path, grid), (from, to): SamplerStep => {
    const { cSkip, cOut } = boundary(from.t);
    return { level: from, inputScale: 1, denoised: { x: 0, output: 1 }, next: { x: [to.alpha * cSkip], denoised: [to.alpha * cOut], noise: to.sigma } };
  }),
});

/** LCM's sampler. */
export const lcm = (path: Path, options: { scaling?: number; sigmaData?: number } = {}): Plan => consistency(path, { boundary: lcmBoundary(options) });

/**
 * Consistency models' own multistep rule, which returns to sigma' with noise of standard deviation sqrt(sigma'^2 - sigmaMin^2).
 * @source openai/consistency_models, stochastic_iterative_sampler
 */
export const consistencyVe = (path: Path, { sigmaMin = 0.002 }: { sigmaMin?: number } = {}): Plan => (grid) => ({
  start: 1, end: 1,
  steps: pairs(levelsOf('consistencyVe', path, grid), (from, to): SamplerStep => (
    { level: from, inputScale: 1, denoised: { x: 0, output: 1 }, next: { x: [0], denoised: [1], noise: Math.sqrt(Math.max(0, to.sigma ** 2 - sigmaMin ** 2)) } }
  )),
});
