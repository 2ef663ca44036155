/**
 * Which times a training step looks at. Each takes plain draws (`uniform` or `normal` of src/random.ts) and returns one time per draw, so that a run's
 * times follow from its key alone. t = 1 is noise (or the source), t = 0 the clean target.
 */

type Draws = ArrayLike<number>;

/** Uniform in [low, high). @param draws uniform in [0, 1) */
export const uniformTimes = (draws: Draws, low = 0, high = 1): number[] => Array.from(draws, (u) => low + (high - low) * u);

/** Uniform timesteps 0..total-1. @param draws uniform in [0, 1) */
export const uniformTimesteps = (draws: Draws, total: number): number[] => Array.from(draws, (u) => Math.min(total - 1, Math.floor(u * total)));

/** sigmoid(mean + std n). @param draws unit normal @source Esser et al. 2024 (SD3), arXiv 2403.03206, section 3.1 */
export const logitNormalTimes = (draws: Draws, { mean = 0, std = 1 }: { mean?: number; std?: number } = {}): number[] => Array.from(draws, (n) => 1 / (1 + Math.exp(-(mean + std * n))));

/** 1 - u - scale (cos^2(pi u / 2) - 1 + u). @param draws uniform in [0, 1) @source arXiv 2403.03206, eq. 20 */
export const modeTimes = (draws: Draws, { scale = 1.29 }: { scale?: number } = {}): number[] => Array.from(draws, (u) => 1 - u - scale * (Math.cos((Math.PI * u) / 2) ** 2 - 1 + u));

/** exp(mean + std n): EDM's sigmas. @param draws unit normal @source Karras et al. 2022, arXiv 2206.00364, table 1 */
export const logNormalSigmas = (draws: Draws, { mean = -1.2, std = 1.2 }: { mean?: number; std?: number } = {}): number[] => Array.from(draws, (n) => Math.exp(mean + std * n));

/**
 * Dense at both ends: density a (e^{a t} + e^{a (1 - t)}) / (2 (e^a - 1)), rescaled to [margin, 1 - margin]. One draw serves both the value and the
 * side: its first half is mirrored.
 * @param draws uniform in [0, 1) @source Lee et al. 2024 (2-rectified flow++), arXiv 2405.20320
 */
export const uShapedTimes = (draws: Draws, { a = 4, margin = 1e-5 }: { a?: number; margin?: number } = {}): number[] => Array.from(draws, (u) => {
  const rising = Math.log(1 + ((2 * u) % 1) * Math.expm1(a)) / a;
  return margin + (1 - 2 * margin) * (u < 0.5 ? 1 - rising : rising);
});

/**
 * One of a few times, with given probabilities. @param draws uniform in [0, 1) @param weights need not sum to 1
 * @throws RangeError when there are no times, or not one non-negative weight each with a positive sum
 * @source Chadebec et al. 2025 (LBM), arXiv 2503.07535, section 4
 */
export const discreteTimes = (draws: Draws, times: readonly number[], weights: readonly number[] = times.map(() => 1)): number[] => {
  const total = weights.reduce((a, b) => a + b, 0);
  if (times.length === 0 || weights.length !== times.length || weights.some((weight) => !(weight >= 0)) || !(total > 0)) {
    throw new RangeError(`discreteTimes: expected a non-negative weight for each of ${times.length} times but received [${weights.join(', ')}]`);
  }
  return Array.from(draws, (u) => {
    let left = u * total;
    const found = times.find((_, i) => (left -= weights[i] as number) < 0);
    return found ?? times[times.length - 1] as number;
  });
};

/** The density of `logitNormalTimes` at t, 0 < t < 1. */
export const logitNormalDensity = (t: number, { mean = 0, std = 1 }: { mean?: number; std?: number } = {}): number =>
  Math.exp(-((Math.log(t / (1 - t)) - mean) ** 2) / (2 * std ** 2)) / (std * Math.sqrt(2 * Math.PI) * t * (1 - t));

/**
 * Times a student of `calls` calls is distilled at: 1 - eps - j (1 - eps) / calls, j uniform, so that one call looks at the noise end only.
 * @param draws uniform in [0, 1) @param options.eps how far from the noise end the first lies
 * @source Liu et al. 2023 (rectified flow), arXiv 2209.03003, section 2.2; gnobitab/RectifiedFlow, losses.py, whose t is 1 - t here
 */
export const distillationTimes = (draws: Draws, { calls = 1, eps = 1e-3 }: { calls?: number; eps?: number } = {}): number[] => {
  if (!Number.isInteger(calls) || calls < 1) throw new RangeError(`distillationTimes: expected calls to be a positive integer but received ${calls}`);
  return Array.from(draws, (u) => 1 - (eps + (Math.min(calls - 1, Math.floor(u * calls)) * (1 - eps)) / calls));
};
