import { schroedingerBridge, symmetricBetas } from '../bridges.ts';
import { i2sb as posteriorSteps } from '../samplers/bridge.ts';
import { bridgeIndices } from '../timesteps.ts';
import { type Estimate, type Process, checkCalls } from './process.ts';

/**
 * Image-to-image Schroedinger bridge between target (n = 0) and source (n = N - 1): x_n = muX0 target + muX1 source + std z, and the network answers
 * (x_n - target) / stdForward_n.
 * @param options.steps N; the betas keep their total when it is below 1000
 * @param options.betaMax 0.3 for restoration, 1 with `otOde` for larger gaps
 * @param options.otOde leaves out all noise
 * @source Liu et al. 2023, arXiv 2302.05872, eq. 11-13 and algorithms 1-2
 */
export const i2sb = ({ steps = 1000, betaMax = 0.3, otOde = false }: { steps?: number; betaMax?: number; otOde?: boolean } = {}): Process => {
  const bridge = schroedingerBridge(symmetricBetas(steps, { betaMax, start: (1e-4 * 1000) / steps }));
  const told = (n: number): number => (n * 1000) / steps;
  const forward = (n: number): number => bridge.stdForward[n] as number;
  const estimateAt = (n: number): Estimate => ({ x: 1, output: -forward(n), source: 0 });
  return {
    name: 'i2sb',
    noisy: !otOde,
    draw: (u) => {
      const n = Math.floor(u * steps);
      const noisy = { target: bridge.muX0[n] as number, source: bridge.muX1[n] as number, eps: otOde ? 0 : bridge.std[n] as number };
      const goal = { target: (noisy.target - 1) / forward(n), source: noisy.source / forward(n), eps: noisy.eps / forward(n) };
      return { t: told(n), noisy, inputScale: 1, goal, estimate: estimateAt(n), weight: 1 };
    },
    sample: (calls) => {
      checkCalls('i2sb', calls, steps - 1);
      const recipe = posteriorSteps(bridge, { otOde })(bridgeIndices(calls, steps).toReversed());
      return { start: { target: 0, source: 1, eps: 0 }, recipe, calls: recipe.steps.map(({ level }) => ({ t: told(level.t), estimate: estimateAt(level.t) })) };
    },
  };
};
