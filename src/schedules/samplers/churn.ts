/** EDM's stochastic part: raise the noise level a little before a step, adding as much noise as that takes. */
import type { SamplerStep } from './sampler.ts';

export type Churn = Readonly<{
  /** Total amount, shared by the steps; 0 is deterministic. */
  sChurn?: number;
  /** Sigmas it applies to. */
  sTmin?: number;
  sTmax?: number;
  /** Standard deviation of the added noise relative to what the level asks for. */
  sNoise?: number;
}>;

/** The raised sigma and the noise to add. @param steps the number that `sChurn` is shared by @source Karras et al. 2022, arXiv 2206.00364, algorithm 2 */
export const churned = (sigma: number, steps: number, { sChurn = 0, sTmin = 0, sTmax = Infinity, sNoise = 1 }: Churn, seen = true): Readonly<{ sigma: number; churn: Pick<SamplerStep, 'churn'> }> => {
  const gamma = sTmin <= sigma && sigma <= sTmax ? Math.min(sChurn / steps, Math.SQRT2 - 1) : 0;
  if (!(gamma > 0)) return { sigma, churn: {} };
  const raised = sigma * (1 + gamma);
  return { sigma: raised, churn: { churn: { std: sNoise * Math.sqrt(raised ** 2 - sigma ** 2), seen } } };
};

/** How an ancestral step splits sigma' into a deterministic part and fresh noise. @source crowsonkb/k-diffusion, get_ancestral_step */
export const ancestralSplit = (from: number, to: number, eta = 1): Readonly<{ down: number; up: number }> => {
  if (eta === 0 || to === 0) return { down: to, up: 0 };
  const up = Math.min(to, eta * Math.sqrt((to ** 2 * (from ** 2 - to ** 2)) / from ** 2));
  return { down: Math.sqrt(to ** 2 - up ** 2), up };
};
