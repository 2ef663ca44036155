/** Schedules of sigma, the noise's standard deviation in x = x0 + sigma n: `n` values from the noisiest down, without the final 0 (see `appendZero`). */
import { betaQuantile } from './betaQuantile.ts';
import { linspace } from './betas.ts';

export type SigmaRange = Readonly<{ sigmaMin: number; sigmaMax: number }>;

const check = (name: string, n: number, { sigmaMin, sigmaMax }: SigmaRange): void => {
  if (!Number.isInteger(n) || n < 1) throw new RangeError(`${name}: expected n to be a positive integer but received ${n}`);
  if (!(sigmaMin >= 0 && sigmaMax >= sigmaMin)) throw new RangeError(`${name}: expected 0 <= sigmaMin <= sigmaMax but received ${sigmaMin} and ${sigmaMax}`);
};

/** Follows the sigmas with 0: the last step ends at the clean image. */
export const appendZero = (sigmas: ArrayLike<number>): Float64Array => Float64Array.from([...Array.from(sigmas), 0]);

/** sigma_i = (max^(1/rho) + i / (n - 1) (min^(1/rho) - max^(1/rho)))^rho. @source Karras et al. 2022 (EDM), arXiv 2206.00364, eq. 5 */
export const karrasSigmas = (n: number, range: SigmaRange, rho = 7): Float64Array => {
  check('karrasSigmas', n, range);
  const max = range.sigmaMax ** (1 / rho);
  return linspace(0, 1, n).map((u) => (max + u * (range.sigmaMin ** (1 / rho) - max)) ** rho);
};

/** EDM's own range: 0.002 to 80. */
export const edmSigmas = (n: number, { sigmaMin = 0.002, sigmaMax = 80, rho = 7 }: { sigmaMin?: number; sigmaMax?: number; rho?: number } = {}): Float64Array =>
  karrasSigmas(n, { sigmaMin, sigmaMax }, rho);

/** Straight in ln sigma for rho = 1; larger rho spends more steps at small sigma. */
export const polyexponentialSigmas = (n: number, range: SigmaRange, rho = 1): Float64Array => {
  check('polyexponentialSigmas', n, range);
  const low = Math.log(range.sigmaMin);
  return linspace(1, 0, n).map((u) => Math.exp(u ** rho * (Math.log(range.sigmaMax) - low) + low));
};

/** Straight in ln sigma. */
export const exponentialSigmas = (n: number, range: SigmaRange): Float64Array => {
  check('exponentialSigmas', n, range);
  return linspace(Math.log(range.sigmaMax), Math.log(range.sigmaMin), n).map(Math.exp);
};

/** sigma(t) = sqrt(exp(betaD t^2 / 2 + betaMin t) - 1), t from 1 to epsS. @source Song et al. 2021, arXiv 2011.13456 (VP SDE), in EDM's notation */
export const vpSdeSigmas = (n: number, { betaD = 19.9, betaMin = 0.1, epsS = 1e-3 }: { betaD?: number; betaMin?: number; epsS?: number } = {}): Float64Array => {
  check('vpSdeSigmas', n, { sigmaMin: 0, sigmaMax: 1 });
  return linspace(1, epsS, n).map((t) => Math.sqrt(Math.expm1((betaD * t * t) / 2 + betaMin * t)));
};

/** Spaced as the quantiles of a beta distribution: dense at both ends. @source Lee et al. 2024, arXiv 2407.12173 */
export const betaSpacedSigmas = (n: number, range: SigmaRange, { alpha = 0.6, beta = 0.6 }: { alpha?: number; beta?: number } = {}): Float64Array => {
  check('betaSpacedSigmas', n, range);
  return linspace(0, 1, n).map((u) => range.sigmaMin + betaQuantile(1 - u, alpha, beta) * (range.sigmaMax - range.sigmaMin));
};

/**
 * The (fractional) training timestep of a sigma, by interpolation in ln sigma.
 * @param logSigmas ln sigma of every training timestep, ascending
 */
export const timestepOf = (sigma: number, logSigmas: ArrayLike<number>): number => {
  const wanted = Math.log(Math.max(sigma, 1e-10));
  let low = 0;
  for (let i = 0; i < logSigmas.length; i++) if ((logSigmas[i] as number) <= wanted) low = i;
  low = Math.min(low, logSigmas.length - 2);
  const [below, above] = [logSigmas[low] as number, logSigmas[low + 1] as number];
  const weight = Math.min(1, Math.max(0, (below - wanted) / (below - above)));
  return (1 - weight) * low + weight * (low + 1);
};

/** A table read at a fractional position, straight between entries and constant beyond the ends. */
export const interpolate = (table: ArrayLike<number>, position: number): number => {
  const at = Math.min(table.length - 1, Math.max(0, position));
  const low = Math.floor(at);
  const rest = at - low;
  return rest === 0 ? table[low] as number : (table[low] as number) + rest * ((table[low + 1] as number) - (table[low] as number));
};
