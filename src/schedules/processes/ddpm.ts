import { type VpSchedule, alphasCumprod, cosineBetas, linearBetas, rescaleZeroTerminalSnr, scaledLinearBetas, vpSchedule } from '../betas.ts';
import { type Level, type Prediction, denoisedFrom, vpPath } from '../paths.ts';
import { ddim } from '../samplers/ddim.ts';
import { ddpm as ancestral } from '../samplers/ddpm.ts';
import { dpmSolver } from '../samplers/dpmSolver.ts';
import type { Plan } from '../samplers/sampler.ts';
import { spaceTimesteps } from '../timesteps.ts';
import { type Mixture, type Process, checkCalls } from './process.ts';

export type NoiseSchedule = 'linear' | 'scaledLinear' | 'cosine' | 'zeroTerminalSnr';

/** The schedules by name, for any number of steps: the linear ones keep their total noise when there are fewer than 1000. `zeroTerminalSnr` is `scaledLinear` rescaled. */
export const vpScheduleNamed = (name: NoiseSchedule, steps: number): VpSchedule => {
  const scale = 1000 / steps;
  const scaled = () => scaledLinearBetas(steps, { start: 0.00085 * scale, end: 0.012 * scale });
  switch (name) {
    case 'linear': return vpSchedule(linearBetas(steps, { start: 1e-4 * scale, end: 0.02 * scale }));
    case 'scaledLinear': return vpSchedule(scaled());
    case 'cosine': return vpSchedule(cosineBetas(steps));
    case 'zeroTerminalSnr': { const betas = rescaleZeroTerminalSnr(scaled()); return { betas, alphasCumprod: alphasCumprod(betas) }; }
  }
};

/** What the network is to answer at a level, as a mixture. */
export const goalOf = (prediction: Prediction, { alpha, sigma }: Pick<Level, 'alpha' | 'sigma'>): Mixture => {
  switch (prediction) {
    case 'sample': return { target: 1, source: 0, eps: 0 };
    case 'epsilon': return { target: 0, source: 0, eps: 1 };
    case 'v_prediction': return { target: -sigma, source: 0, eps: alpha };
    case 'flow': return { target: -1, source: 0, eps: 1 };
  }
};

const samplers = { ddim: (path: ReturnType<typeof vpPath>): Plan => ddim(path), ddpm: (path: ReturnType<typeof vpPath>): Plan => ancestral(path), dpmpp: (path: ReturnType<typeof vpPath>): Plan => dpmSolver(path) };
export type DdpmSampler = keyof typeof samplers;

/**
 * Denoising diffusion on the target, the source being a condition: x_t = sqrt(abar) target + sqrt(1 - abar) eps, t uniform over the schedule.
 * @param options.sampler ddim (deterministic), ddpm (ancestral) or dpmpp (second order, multistep); all on trailing timesteps
 * @throws RangeError for epsilon prediction on a schedule that ends without signal, where x0 cannot be told
 * @source Ho et al. 2020, arXiv 2006.11239, eq. 4 and 14; Salimans and Ho 2022, arXiv 2202.00512, for v
 */
export const ddpm = ({ schedule = 'cosine', steps = 1000, prediction = 'v_prediction', sampler = 'ddim' }: {
  schedule?: NoiseSchedule; steps?: number; prediction?: Exclude<Prediction, 'flow'>; sampler?: DdpmSampler;
} = {}): Process => {
  const table = vpScheduleNamed(schedule, steps);
  if (prediction === 'epsilon' && table.alphasCumprod[steps - 1] === 0) throw new RangeError(`ddpm: expected v_prediction or sample on the schedule ${schedule}, whose last step has no signal, but received epsilon`);
  const path = vpPath(table);
  const told = (t: number): number => (t * 1000) / steps;
  const estimate = (level: Level) => ({ ...denoisedFrom(prediction, level), source: 0 });
  return {
    name: 'ddpm',
    noisy: true,
    draw: (u) => {
      const level = path.level(Math.floor(u * steps));
      return { t: told(level.t), noisy: { target: level.alpha, source: 0, eps: level.sigma }, inputScale: 1, goal: goalOf(prediction, level), estimate: estimate(level), weight: 1 };
    },
    sample: (calls) => {
      checkCalls('ddpm', calls, steps);
      const recipe = samplers[sampler](path)([...spaceTimesteps('trailing', calls, steps), -1]);
      return { start: { target: 0, source: 0, eps: 1 }, recipe, calls: recipe.steps.map(({ level }) => ({ t: told(level.t), estimate: estimate(level) })) };
    },
  };
};
