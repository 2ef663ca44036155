/** Processes that end at the source image instead of noise. Index or t 0 is the clean target throughout. */
import { linspace } from './betas.ts';

/** I2SB's tables, one entry per step n in 0..N-1; x_n = muX0 x0 + muX1 x1 + std z, x0 the target and x1 the source. */
export type SchroedingerBridge = Readonly<{ betas: Float64Array; stdForward: Float64Array; stdBackward: Float64Array; std: Float64Array; muX0: Float64Array; muX1: Float64Array }>;

/** The product of two Gaussians around x0 and x1: weights of their means, and the variance. @source Liu et al. 2023 (I2SB), arXiv 2302.05872, eq. 11 */
export const gaussianProduct = (sigma0: number, sigma1: number): Readonly<{ mu0: number; mu1: number; variance: number }> => {
  const sum = sigma0 ** 2 + sigma1 ** 2;
  return { mu0: sigma1 ** 2 / sum, mu1: sigma0 ** 2 / sum, variance: (sigma0 ** 2 * sigma1 ** 2) / sum };
};

/** Betas that rise along a quadratic to the middle and fall back: straight in sqrt(beta) from `start` towards `betaMax / steps`. */
export const symmetricBetas = (steps: number, { betaMax = 0.3, start = 1e-4 }: { betaMax?: number; start?: number } = {}): Float64Array => {
  if (!Number.isInteger(steps) || steps < 2) throw new RangeError(`symmetricBetas: expected at least two steps but received ${steps}`);
  const rising = linspace(Math.sqrt(start), Math.sqrt(betaMax / steps), steps).map((root) => root ** 2);
  const half = Array.from(rising.slice(0, Math.floor(steps / 2)));
  return Float64Array.from(steps % 2 === 0 ? [...half, ...half.toReversed()] : [...half, rising[Math.floor(steps / 2)] as number, ...half.toReversed()]);
};

/** The bridge of given betas; both deviations at n include beta_n. @source arXiv 2302.05872, eq. 11 and appendix */
export const schroedingerBridge = (betas: ArrayLike<number>): SchroedingerBridge => {
  const values = Float64Array.from(betas);
  const cumulative = (list: Float64Array): Float64Array => {
    let sum = 0;
    return list.map((beta) => (sum += beta));
  };
  const stdForward = cumulative(values).map(Math.sqrt);
  const stdBackward = cumulative(values.toReversed()).reverse().map(Math.sqrt);
  const products = Array.from(stdForward, (forward, n) => gaussianProduct(forward, stdBackward[n] as number));
  return {
    betas: values, stdForward, stdBackward,
    std: Float64Array.from(products, ({ variance }) => Math.sqrt(variance)),
    muX0: Float64Array.from(products, ({ mu0 }) => mu0),
    muX1: Float64Array.from(products, ({ mu1 }) => mu1),
  };
};

/** One step back, n to `before` < n: x' = denoised * x0 + x * x_n + sqrt(variance) z. @source arXiv 2302.05872, eq. 4 */
export const bridgePosterior = ({ stdForward }: SchroedingerBridge, n: number, before: number): Readonly<{ x: number; denoised: number; variance: number }> => {
  if (!(before < n)) throw new RangeError(`bridgePosterior: expected to step back from ${n} but received ${before}`);
  const [here, there] = [stdForward[n] as number, stdForward[before] as number];
  const { mu0, mu1, variance } = gaussianProduct(there, Math.sqrt(here ** 2 - there ** 2));
  return { x: mu1, denoised: mu0, variance };
};

/** Standard deviation of a Brownian bridge with ends at 0 and 1: scale * sqrt(t (1 - t)). @source Chadebec et al. 2025 (LBM), arXiv 2503.07535, eq. 4 */
export const brownianBridgeStd = (t: number, scale: number): number => scale * Math.sqrt(t * (1 - t));

/** LBM's grid of K calls: 1, 1 - 1/K, ..., 1/K, then 0. */
export const lbmTimes = (steps: number): number[] => {
  if (!Number.isInteger(steps) || steps < 1) throw new RangeError(`lbmTimes: expected steps to be a positive integer but received ${steps}`);
  return Array.from({ length: steps + 1 }, (_, i) => (steps - i) / steps);
};

/** ResShift's shares of the residual, sqrt(eta) over t = 0..T-1; x_t = x0 + eta (source - x0) + kappa sqrt(eta) z. */
export type ResidualShift = Readonly<{ sqrtEtas: Float64Array; kappa: number }>;

/**
 * sqrt(eta_i) = s1 b^((T-1) (i/(T-1))^power), from s1 = min(min / kappa, min) to `end`.
 * @source Yue et al. 2023 (ResShift), arXiv 2307.12348, eq. 5; values for T = 15 (min 0.04) and 4 (min 0.2) from its configurations
 */
export const residualShift = (steps: number, { min = steps <= 4 ? 0.2 : 0.04, end = 0.99, power = 0.3, kappa = 2 }: { min?: number; end?: number; power?: number; kappa?: number } = {}): ResidualShift => {
  if (!Number.isInteger(steps) || steps < 2) throw new RangeError(`residualShift: expected at least two steps but received ${steps}`);
  if (!(kappa > 0)) throw new RangeError(`residualShift: expected kappa to be positive but received ${kappa}`);
  const first = Math.min(min / kappa, min);
  const growth = Math.log(end / first);
  return { kappa, sqrtEtas: Float64Array.from({ length: steps }, (_, i) => first * Math.exp(growth * (i / (steps - 1)) ** power)) };
};

/** A step back, t to t - 1 (eta_{-1} = 0): mean = x * x_t + denoised * x0. @source arXiv 2307.12348, eq. 7 */
export const residualPosterior = ({ sqrtEtas, kappa }: ResidualShift, t: number): Readonly<{ x: number; denoised: number; variance: number }> => {
  const eta = (sqrtEtas[t] as number) ** 2;
  const before = t === 0 ? 0 : (sqrtEtas[t - 1] as number) ** 2;
  return { x: before / eta, denoised: (eta - before) / eta, variance: kappa ** 2 * (before / eta) * (eta - before) };
};

/** What ResShift divides the network's input by: to unit variance for latents, to about [-1, 1] for pixels. @source zsyOAOA/ResShift, _scale_input */
export const residualInputScale = ({ sqrtEtas, kappa }: ResidualShift, t: number, space: 'latent' | 'pixel'): number => {
  const root = sqrtEtas[t] as number;
  return space === 'latent' ? 1 / Math.sqrt(root ** 2 * kappa ** 2 + 1) : 1 / (3 * kappa * root + 1);
};

/** RDDM's tables over t = 0..T-1; x_t = x0 + residual[t] (source - x0) + noise[t] z. */
export type ResidualNoise = Readonly<{ residual: Float64Array; noise: Float64Array }>;

/** Residual shares that fall, noise variances that rise. @param options.sumScale the noise variance at the end @source Liu et al. 2024 (RDDM), arXiv 2308.13712, eq. 7 */
export const residualNoise = (steps: number, { sumScale = 1 }: { sumScale?: number } = {}): ResidualNoise => {
  if (!Number.isInteger(steps) || steps < 1) throw new RangeError(`residualNoise: expected steps to be a positive integer but received ${steps}`);
  const total = (steps * (steps + 1)) / 2;
  let [shift, variance] = [0, 0];
  const residual = new Float64Array(steps);
  const noise = new Float64Array(steps);
  for (let t = 0; t < steps; t++) {
    residual[t] = shift += (steps - t) / total;
    noise[t] = Math.sqrt(variance += ((t + 1) / total) * sumScale);
  }
  return { residual, noise };
};
