/**
 * Variance-preserving noise schedules as tables over the training timesteps 0..T-1, where 0 is nearly clean.
 *   x_t = sqrt(abar[t]) x0 + sqrt(1 - abar[t]) eps,  abar[t] = prod_{s <= t} (1 - beta[s])
 * Tables hold float32 values, as the published checkpoints were trained with: betas are rounded once, alphas once, products once.
 */

import { linspaceFloat32 } from './float32.ts';

/** The two tables everything else follows from; each has one entry per training timestep. */
export type VpSchedule = Readonly<{ betas: Float32Array; alphasCumprod: Float32Array }>;

const checkSteps = (name: string, steps: number): void => {
  if (!Number.isInteger(steps) || steps < 1) throw new RangeError(`${name}: expected steps to be a positive integer but received ${steps}`);
};

/** `count` evenly spaced numbers from `from` to `to`, both included; a single one is `from`. */
export const linspace = (from: number, to: number, count: number): Float64Array =>
  Float64Array.from({ length: count }, (_, i) => (count === 1 ? from : i < count / 2 ? from + ((to - from) / (count - 1)) * i : to - ((to - from) / (count - 1)) * (count - 1 - i)));

/** Straight from `start` to `end`. @source Ho et al. 2020, arXiv 2006.11239, section 4 */
export const linearBetas = (steps: number, { start = 1e-4, end = 0.02 }: { start?: number; end?: number } = {}): Float32Array => {
  checkSteps('linearBetas', steps);
  return linspaceFloat32(start, end, steps);
};

/** Straight in sqrt(beta). @source Rombach et al. 2022, arXiv 2112.10752 (Stable Diffusion's schedule) */
export const scaledLinearBetas = (steps: number, { start = 0.00085, end = 0.012 }: { start?: number; end?: number } = {}): Float32Array => {
  checkSteps('scaledLinearBetas', steps);
  return linspaceFloat32(Math.sqrt(start), Math.sqrt(end), steps).map((root) => root ** 2);
};

/** Betas whose products follow a given curve abar(u), u in [0, 1]; no beta above `max`. */
export const betasFor = (steps: number, abar: (u: number) => number, max = 0.999): Float32Array => {
  checkSteps('betasFor', steps);
  return Float32Array.from({ length: steps }, (_, i) => Math.min(1 - abar((i + 1) / steps) / abar(i / steps), max));
};

/** abar(u) = cos^2((u + 0.008) / 1.008 * pi / 2), capped at 0.999. @source Nichol and Dhariwal 2021, arXiv 2102.09672, eq. 17 */
export const cosineBetas = (steps: number, max = 0.999): Float32Array => betasFor(steps, (u) => Math.cos(((u + 0.008) / 1.008) * (Math.PI / 2)) ** 2, max);

/** abar(u) = exp(-12 u). */
export const expBetas = (steps: number): Float32Array => betasFor(steps, (u) => Math.exp(-12 * u));

/** start + (end - start) * sigmoid(-6..6). @source Xu et al. 2022 (GeoDiff), arXiv 2203.02923 */
export const sigmoidBetas = (steps: number, { start = 1e-4, end = 0.02 }: { start?: number; end?: number } = {}): Float32Array => {
  checkSteps('sigmoidBetas', steps);
  return linspaceFloat32(-6, 6, steps).map((x) => (end - start) / (1 + Math.exp(-x)) + start);
};

/** Running products of 1 - beta. */
export const alphasCumprod = (betas: Float32Array): Float32Array => {
  let product = 1;
  return Float32Array.from(betas, (beta) => (product *= Math.fround(1 - beta)));
};

/**
 * Shifts and scales sqrt(abar) so that the last timestep is pure noise and the first keeps its value: abar[T-1] = 0, beta[T-1] = 1.
 * An eps-prediction is undefined there; predict v or x0 and space timesteps as `trailing`.
 * @source Lin et al. 2023, arXiv 2305.08891, algorithm 1
 */
export const rescaleZeroTerminalSnr = (betas: Float32Array): Float32Array => {
  const f = Math.fround;
  const roots = Float32Array.from(alphasCumprod(betas), Math.sqrt);
  const first = roots[0] as number;
  const last = roots[roots.length - 1] as number;
  const scale = f(first / f(first - last));
  const abar = roots.map((root) => f(f(f(root - last) * scale) ** 2));
  return abar.map((value, t) => 1 - f(t === 0 ? value : value / (abar[t - 1] as number)));
};

/** The schedule of given betas. @throws RangeError when there are none, or one lies outside [0, 1] */
export const vpSchedule = (betas: ArrayLike<number>): VpSchedule => {
  const table = Float32Array.from(betas);
  if (table.length === 0) throw new RangeError('vpSchedule: expected at least one beta but received none');
  const wrong = table.findIndex((beta) => !(beta >= 0 && beta <= 1));
  if (wrong >= 0) throw new RangeError(`vpSchedule: expected betas in [0, 1] but received ${table[wrong]} at ${wrong}`);
  return { betas: table, alphasCumprod: alphasCumprod(table) };
};

/** Signal-to-noise ratios abar / (1 - abar), one per timestep. */
export const snrOf = ({ alphasCumprod: abar }: Pick<VpSchedule, 'alphasCumprod'>): Float64Array => Float64Array.from(abar, (a) => a / (1 - a));

/** Noise levels relative to the signal, sqrt((1 - abar) / abar), one per timestep: ascending. */
export const sigmasOf = ({ alphasCumprod: abar }: Pick<VpSchedule, 'alphasCumprod'>): Float64Array => Float64Array.from(abar, (a) => Math.fround(Math.sqrt((1 - a) / a)));
