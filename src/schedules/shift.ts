/** Moving a flow's time grid towards noise: larger images need more of it. t = 1 is noise, t = 0 the clean image. */

/** t' = s t / (1 + (s - 1) t). @param shift s > 0; 1 changes nothing, 3 is SD3's at 1024 px. @source Esser et al. 2024 (SD3), arXiv 2403.03206, eq. 23 */
export const shiftTime = (t: number, shift: number): number => (shift * t) / (1 + (shift - 1) * t);

/** exp(mu) / (exp(mu) + (1 / t - 1)^power): `shiftTime` with s = exp(mu) when power is 1. @source black-forest-labs/flux, src/flux/sampling.py */
export const exponentialShift = (t: number, mu: number, power = 1): number => Math.exp(mu) / (Math.exp(mu) + (1 / t - 1) ** power);

/** mu / (mu + (1 / t - 1)^power). */
export const linearShift = (t: number, mu: number, power = 1): number => mu / (mu + (1 / t - 1) ** power);

/** The shift that carries a grid tuned for `basePixels` to `pixels`: sqrt(pixels / basePixels). @source arXiv 2403.03206, section 5.3.2 */
export const resolutionShift = (pixels: number, basePixels: number): number => Math.sqrt(pixels / basePixels);

/** FLUX's mu, straight in the number of image tokens: 0.5 at 256, 1.15 at 4096. */
export const dynamicMu = (tokens: number, { baseTokens = 256, maxTokens = 4096, baseShift = 0.5, maxShift = 1.15 }: {
  baseTokens?: number; maxTokens?: number; baseShift?: number; maxShift?: number;
} = {}): number => baseShift + ((tokens - baseTokens) * (maxShift - baseShift)) / (maxTokens - baseTokens);

/** Stretches a descending grid so that its last value is `terminal`, keeping t = 1. @source Lightricks/LTX-Video, arXiv 2501.00103 */
export const stretchToTerminal = (times: ArrayLike<number>, terminal: number): Float64Array => {
  const scale = (1 - (times[times.length - 1] as number)) / (1 - terminal);
  return Float64Array.from(times, (t) => 1 - (1 - t) / scale);
};

/** The plain flow grid of `steps` network calls: 1, 1 - 1/K, ..., 1/K, each shifted, then 0. */
export const flowTimes = (steps: number, shift = 1): number[] => {
  if (!Number.isInteger(steps) || steps < 1) throw new RangeError(`flowTimes: expected steps to be a positive integer but received ${steps}`);
  return Array.from({ length: steps + 1 }, (_, i) => shiftTime((steps - i) / steps, shift));
};
