/**
 * DPM-Solver and DPM-Solver++, multistep, orders 1 to 3, deterministic and stochastic. With lambda = ln(alpha / sigma) and h = lambda' - lambda.
 * @source Lu et al. 2022, arXiv 2206.00927 and 2211.01095; the stochastic forms as in crowsonkb/k-diffusion and huggingface/diffusers
 */
import type { Level, Path } from '../paths.ts';
import { type Plan, type SamplerStep, levelsOf } from './sampler.ts';

/** `++` integrates the denoised estimate, the others the noise estimate. */
export type DpmAlgorithm = 'dpmsolver++' | 'dpmsolver' | 'sde-dpmsolver++' | 'sde-dpmsolver';
export type DpmSolverType = 'midpoint' | 'heun';

export type DpmOptions = Readonly<{
  algorithm?: DpmAlgorithm;
  solverType?: DpmSolverType;
  order?: 1 | 2 | 3;
  /** Share of the posterior noise in `sde-dpmsolver++`. */
  eta?: number;
  sNoise?: number;
  /** The order used at call i of n; by default it grows from 1 to `order` and falls to 1 where the path ends. */
  orderAt?: (i: number, calls: number) => number;
  /** Third-order stochastic steps as diffusers has them, whose last term differs in sign from the series. */
  diffusersThirdOrder?: boolean;
}>;

type Combination = Readonly<{ x: number; values: readonly number[]; noise: number }>;

const lambdaOf = ({ alpha, sigma }: Level): number => Math.log(alpha) - Math.log(sigma);

/** First, second and third derivative weights of the values, from divided differences over uneven steps. */
const differences = (order: number, h: number, past: readonly number[]): readonly (readonly number[])[] => {
  if (order === 1) return [[1]];
  const r0 = (past[0] as number) / h;
  const first = [1 / r0, -1 / r0];
  if (order === 2) return [[1], first];
  const r1 = (past[1] as number) / h;
  const older = [0, 1 / r1, -1 / r1];
  const bend = older.map((value, j) => (first[j] ?? 0) - value);
  return [[1], older.map((_, j) => (first[j] ?? 0) + (r0 / (r0 + r1)) * (bend[j] as number)), bend.map((value) => value / (r0 + r1))];
};

/**
 * One step as a combination of the state and the values of this and earlier calls (x0 estimates for `++`, noise estimates for the others).
 * @param levels this call's, the next one's, and those of up to two calls before
 */
export const dpmStep = (from: Level, to: Level, past: readonly Level[], { algorithm = 'dpmsolver++', solverType = 'midpoint', eta = 1, sNoise = 1, diffusersThirdOrder = false }: DpmOptions, order: number): Combination => {
  const h = lambdaOf(to) - lambdaOf(from);
  const gaps = [from, ...past].map(lambdaOf).map((lambda, i, all) => (i === 0 ? 0 : (all[i - 1] as number) - lambda)).slice(1);
  const derivatives = differences(order, h, gaps);
  const data = algorithm === 'dpmsolver++' || algorithm === 'sde-dpmsolver++';
  const stochastic = algorithm === 'sde-dpmsolver++' || algorithm === 'sde-dpmsolver';
  const noiseShare = algorithm === 'sde-dpmsolver++' ? eta : 0;
  const reach = data ? (1 + noiseShare) * h : h;
  const factor = data ? to.alpha : to.sigma;
  // Integrals of exp(-reach) (data) or exp(h) (noise) against 1, s, s^2/2.
  const phi1 = data ? -Math.expm1(-reach) : -Math.expm1(h);
  const phi2 = data ? 1 - phi1 / reach : 1 + phi1 / h;
  const phi3 = data ? phi2 / reach - 0.5 : (Math.expm1(h) - h) / h ** 2 - 0.5;
  const doubled = !data && stochastic ? 2 : 1;
  const weights = order === 1 ? [doubled * phi1]
    : order === 2 ? [doubled * phi1, solverType === 'midpoint' ? (doubled * phi1) / 2 : doubled * phi2]
      : [phi1, phi2, -phi3];
  if (order === 3 && stochastic && diffusersThirdOrder) weights[2] = -phi3 - 1;
  const values = derivatives.reduce<number[]>((sum, derivative, k) => derivative.map((value, j) => (sum[j] ?? 0) + factor * (weights[k] as number) * value), []);
  const kept = data ? (to.sigma / from.sigma) * (noiseShare === 0 ? 1 : Math.exp(-noiseShare * h)) : to.alpha / from.alpha;
  const noise = !stochastic ? 0 : data ? to.sigma * Math.sqrt(-Math.expm1(-2 * eta * h)) * sNoise : to.sigma * Math.sqrt(Math.expm1(2 * h)) * sNoise;
  return { x: kept, values, noise };
};

/** Noise estimates (x - alpha D) / sigma in terms of states and denoised estimates. */
const fromNoise = ({ x, values, noise }: Combination, levels: readonly Level[]): SamplerStep['next'] => ({
  x: values.map((value, j) => (j === 0 ? x : 0) + value / (levels[j] as Level).sigma),
  denoised: values.map((value, j) => -(value * (levels[j] as Level).alpha) / (levels[j] as Level).sigma),
  noise,
});

/** Steps between levels, the last of which is only arrived at. */
export const dpmSteps = (levels: readonly Level[], options: DpmOptions = {}): SamplerStep[] => {
  const { algorithm = 'dpmsolver++', order = 2, orderAt } = options;
  const calls = levels.length - 1;
  const data = algorithm === 'dpmsolver++' || algorithm === 'sde-dpmsolver++';
  return levels.slice(1).map((to, i) => {
    const from = levels[i] as Level;
    const present = orderAt ? Math.min(orderAt(i, calls), i + 1) : to.sigma === 0 ? 1 : Math.min(order, i + 1);
    const past = levels.slice(Math.max(0, i - 2), i).reverse();
    const common = { level: from, inputScale: 1, denoised: { x: 0, output: 1 } };
    if (data && to.sigma === 0) return { ...common, next: { x: [0], denoised: [to.alpha] } };
    const combination = dpmStep(from, to, past, options, present);
    return { ...common, next: data ? { x: [combination.x], denoised: combination.values, noise: combination.noise } : fromNoise(combination, [from, ...past]) };
  });
};

/**
 * The multistep solver on any path; one call a step, also where alpha starts at 0.
 * `dpmSolver(path)` is DPM-Solver++ 2M, `dpmSolver(path, { algorithm: 'sde-dpmsolver++' })` its SDE, order 3 with it 3M SDE.
 * @throws RangeError for a noise-predicting algorithm on a path that ends at sigma 0 or starts at alpha 0
 */
export const dpmSolver = (path: Path, options: DpmOptions = {}): Plan => (grid) => {
  const levels = levelsOf('dpmSolver', path, grid);
  const { algorithm = 'dpmsolver++' } = options;
  if ((algorithm === 'dpmsolver' || algorithm === 'sde-dpmsolver') && ((levels.at(-1) as Level).sigma === 0 || (levels[0] as Level).alpha === 0)) {
    throw new RangeError(`dpmSolver: expected ${algorithm} to start with some signal and end with some noise, since it predicts noise; use ${algorithm}++`);
  }
  return { start: 1, steps: dpmSteps(levels, options), end: 1 };
};
