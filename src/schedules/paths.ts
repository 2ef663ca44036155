/**
 * Where a sampler moves: x = alpha(t) x0 + sigma(t) n, from t at the noise end to t at the clean end. One sampler serves all of them.
 * @source the notation of Kingma et al. 2021, arXiv 2107.00630
 */
import { type VpSchedule, sigmasOf } from './betas.ts';
import { interpolate, timestepOf } from './sigmas.ts';

/** A place on a path: `t` is what the network is told. */
export type Level = Readonly<{ t: number; alpha: number; sigma: number }>;

/** What a network's output means. `sample` is x0; `v_prediction` is alpha n - sigma x0; `flow` is n - x0. */
export type Prediction = 'epsilon' | 'sample' | 'v_prediction' | 'flow';

export type Path = Readonly<{
  /** Scales the state for solvers that step in one variable r = sigma / scale: alpha (sigma-space) or alpha + sigma (flow). */
  scale: (level: Level) => number;
  level: (t: number) => Level;
  /** The place whose sigma / scale is `ratio`, for solvers that look between grid points. */
  at: (ratio: number) => Level;
}>;

/** x = x0 + sigma n, with t = sigma. */
export const vePath: Path = {
  scale: () => 1,
  level: (t) => ({ t, alpha: 1, sigma: t }),
  at: (ratio) => ({ t: ratio, alpha: 1, sigma: ratio }),
};

/** x = (1 - t) x0 + t n. */
export const flowPath: Path = {
  scale: () => 1,
  level: (t) => ({ t, alpha: 1 - t, sigma: t }),
  at: (ratio) => ({ t: ratio, alpha: 1 - ratio, sigma: ratio }),
};

/**
 * The path of a table of timesteps, extended to real t by interpolating ln sigma; any t below 0 is the clean image.
 * @param schedule at zero terminal SNR the last timestep has alpha 0: use a solver that works there (`ddim`, `ddpm`, `dpmSolver`)
 */
export const vpPath = (schedule: VpSchedule): Path => {
  const { alphasCumprod } = schedule;
  const logSigmas = sigmasOf(schedule).map(Math.log);
  const of = (t: number, abar: number): Level => ({ t, alpha: Math.sqrt(abar), sigma: Math.sqrt(1 - abar) });
  const level = (t: number): Level => {
    if (t < 0) return { t, alpha: 1, sigma: 0 };
    if (t > alphasCumprod.length - 1) throw new RangeError(`vpPath: expected a timestep up to ${alphasCumprod.length - 1} but received ${t}`);
    return of(t, Number.isInteger(t) ? alphasCumprod[t] as number : 1 / (1 + Math.exp(2 * interpolate(logSigmas, t))));
  };
  return { scale: ({ alpha }) => alpha, level, at: (ratio) => (ratio === 0 ? level(-1) : of(timestepOf(ratio, logSigmas), 1 / (1 + ratio * ratio))) };
};

/** x0 as a combination `x * state + output * network output` at a level, for each meaning of the output. */
export const denoisedFrom = (prediction: Prediction, { alpha, sigma }: Pick<Level, 'alpha' | 'sigma'>): Readonly<{ x: number; output: number }> => {
  switch (prediction) {
    case 'sample': return { x: 0, output: 1 };
    case 'epsilon': return { x: 1 / alpha, output: -sigma / alpha };
    case 'v_prediction': return { x: alpha / (alpha * alpha + sigma * sigma), output: -sigma / (alpha * alpha + sigma * sigma) };
    case 'flow': return { x: 1 / (alpha + sigma), output: -sigma / (alpha + sigma) };
  }
};
