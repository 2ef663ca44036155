/** Euler, Euler ancestral and Heun in sigma-space: x = x0 + sigma n, the network sees x / sqrt(sigma^2 + 1). */
import type { VpSchedule } from '../betas.ts';
import { sigmasOf } from '../betas.ts';
import { type Level, type Prediction, denoisedFrom } from '../paths.ts';
import { ancestralSplit, churned } from '../samplers/churn.ts';
import { straight } from '../samplers/euler.ts';
import { heunCorrection } from '../samplers/heun.ts';
import type { SamplerStep } from '../samplers/sampler.ts';
import { linspace } from '../betas.ts';
import { interpolate } from '../sigmas.ts';
import { spaceTimesteps } from '../timesteps.ts';
import { ConfigError } from '../../errors.ts';
import { type ConfigOf, scheduleFrom } from './config.ts';
import { type RunArguments, type Scheduler, limitOf, stepsOf, takeOnly } from './run.ts';
import { checkCustom, respaced, timestepsOf } from './sigmaGrid.ts';

/** At zero terminal SNR the last product is set to 2^-24, so that its sigma (4096) is finite. */
const finite = (schedule: VpSchedule, rescaled: boolean): VpSchedule => {
  if (!rescaled) return schedule;
  const alphasCumprod = schedule.alphasCumprod.slice();
  alphasCumprod[alphasCumprod.length - 1] = 2 ** -24;
  return { ...schedule, alphasCumprod };
};

/** A call in sigma-space: the level is the variance-preserving one that the network knows. */
export const sigmaCall = (t: number, sigma: number, prediction: Prediction, estimated = sigma): Pick<SamplerStep, 'level' | 'inputScale' | 'denoised'> => {
  const alpha = 1 / Math.sqrt(sigma ** 2 + 1);
  const level: Level = { t, alpha, sigma: sigma * alpha };
  const { x, output } = denoisedFrom(prediction, level);
  return { level, inputScale: alpha, denoised: prediction === 'epsilon' ? { x: 1, output: -estimated } : { x: x * alpha, output } };
};

const startSigma = (sigmas: readonly number[], spacing: string): number => {
  const max = Math.max(...sigmas);
  return spacing === 'leading' ? Math.sqrt(max ** 2 + 1) : max;
};

const rounded = (values: Iterable<number>): number[] => Array.from(values, Math.fround);

const noisingOf = (schedule: VpSchedule): Pick<Scheduler, 'schedule' | 'noising'> => {
  const table = sigmasOf(schedule);
  return { schedule, noising: (t) => ({ alpha: 1, sigma: table[t] as number }) };
};

/** @source huggingface/diffusers, scheduling_euler_discrete.py */
export const eulerScheduler = (config: ConfigOf<'EulerDiscreteScheduler'>): Scheduler => {
  const name = 'EulerDiscreteScheduler';
  const schedule = finite(scheduleFrom(name, config), config.rescale_betas_zero_snr);
  const table = sigmasOf(schedule);
  const total = config.num_train_timesteps;
  const prediction = config.prediction_type === 'original_sample' ? 'sample' : config.prediction_type;
  const continuous = config.timestep_type === 'continuous' && prediction === 'v_prediction';
  const grid = (args: RunArguments): { timesteps: number[]; sigmas: number[] } => {
    if (args.sigmas) return { sigmas: rounded(args.sigmas), timesteps: timestepsOf(rounded(args.sigmas).slice(0, -1), table) };
    if (args.timesteps) checkCustom(config);
    if (args.timesteps && continuous) throw new ConfigError('timesteps', 'timesteps: custom timesteps cannot be combined with continuous v-prediction');
    const count = args.timesteps?.length ?? stepsOf(name, args, total);
    const timesteps = args.timesteps ?? spaceTimesteps(config.timestep_spacing, count, total, { offset: config.steps_offset, round: false });
    const [min, max] = [table[0] as number, table[table.length - 1] as number];
    const plain = config.interpolation_type === 'linear' ? timesteps.map((t) => interpolate(table, Math.fround(t))) : Array.from(linspace(Math.log(max), Math.log(min), count + 1), Math.exp);
    const spaced = respaced(config, count, { sigmaMin: config.sigma_min ?? (plain.at(-1) as number), sigmaMax: config.sigma_max ?? (plain[0] as number) });
    const last = config.final_sigmas_type === 'sigma_min' ? min : 0;
    return { sigmas: rounded([...(spaced ?? plain), last]), timesteps: spaced ? timestepsOf(spaced, table) : [...timesteps] };
  };
  return {
    name, ...noisingOf(schedule), trainSigmas: [...table].reverse().concat(0),
    ...(continuous && { noising: (t) => ({ alpha: 1, sigma: Math.exp(4 * t) }) }),
    run: (args) => {
      takeOnly(name, args, ['timesteps', 'sigmas', 's_churn', 's_tmin', 's_tmax', 's_noise']);
      const { sigmas, timesteps: discrete } = grid(args);
      const timesteps = rounded(continuous ? sigmas.slice(0, -1).map((sigma) => 0.25 * Math.log(sigma)) : discrete);
      const churn = { sChurn: args.s_churn ?? 0, sTmin: args.s_tmin ?? 0, sTmax: args.s_tmax ?? Infinity, sNoise: args.s_noise ?? 1 };
      const steps = timesteps.map((t, i): SamplerStep => {
        const [sigma, to] = [sigmas[i] as number, sigmas[i + 1] as number];
        const raised = churned(sigma, sigmas.length - 1, churn, false);
        const [x, denoised] = straight(raised.sigma, to);
        return { ...sigmaCall(t, sigma, prediction, raised.sigma), ...raised.churn, next: { x: [x], denoised: [denoised] } };
      });
      return { timesteps, sigmas, initNoiseSigma: startSigma(sigmas, config.timestep_spacing), recipe: { start: 1, steps, end: 1 } };
    },
  };
};

/** @source huggingface/diffusers, scheduling_euler_ancestral_discrete.py */
export const eulerAncestralScheduler = (config: ConfigOf<'EulerAncestralDiscreteScheduler'>): Scheduler => {
  const name = 'EulerAncestralDiscreteScheduler';
  const schedule = finite(scheduleFrom(name, config), config.rescale_betas_zero_snr);
  const table = sigmasOf(schedule);
  const total = config.num_train_timesteps;
  return {
    name, ...noisingOf(schedule), trainSigmas: [...table].reverse().concat(0),
    run: (args) => {
      takeOnly(name, args, []);
      const timesteps = rounded(spaceTimesteps(config.timestep_spacing, stepsOf(name, args, total), total, { offset: config.steps_offset, round: false }));
      const sigmas = rounded([...timesteps.map((t) => interpolate(table, t)), 0]);
      const steps = timesteps.map((t, i): SamplerStep => {
        const [sigma, to] = [sigmas[i] as number, sigmas[i + 1] as number];
        const { down, up } = ancestralSplit(sigma, to);
        const [x, denoised] = straight(sigma, down);
        return { ...sigmaCall(t, sigma, config.prediction_type), next: { x: [x], denoised: [denoised], noise: up } };
      });
      return { timesteps, sigmas, initNoiseSigma: startSigma(sigmas, config.timestep_spacing), recipe: { start: 1, steps, end: 1 } };
    },
  };
};

const doubled = (values: readonly number[]): number[] => values.flatMap((value, i) => (i === 0 ? [value] : [value, value]));

/** @source huggingface/diffusers, scheduling_heun_discrete.py: every step but the first and last appears twice, once for each of its two calls */
export const heunScheduler = (config: ConfigOf<'HeunDiscreteScheduler'>): Scheduler => {
  const name = 'HeunDiscreteScheduler';
  const schedule = scheduleFrom(name, config);
  const table = sigmasOf(schedule);
  const total = config.num_train_timesteps;
  const grid = (args: RunArguments): { timesteps: number[]; sigmas: number[] } => {
    if (args.timesteps) checkCustom(config);
    const count = args.timesteps?.length ?? stepsOf(name, args, total);
    const timesteps = rounded(args.timesteps ?? spaceTimesteps(config.timestep_spacing, count, total, { offset: config.steps_offset, round: false }));
    const plain = timesteps.map((t) => interpolate(table, t));
    const spaced = respaced(config, count, { sigmaMin: plain.at(-1) as number, sigmaMax: plain[0] as number });
    return { sigmas: rounded(spaced ?? plain), timesteps: spaced ? timestepsOf(spaced, table) : timesteps };
  };
  const whole = grid({ num_inference_steps: total });
  const places = rounded(doubled(whole.timesteps));
  const trainSigmas = [...doubled(whole.sigmas), 0];
  return {
    name, schedule, trainSigmas,
    // A timestep is found by its value; where it occurs twice, diffusers takes the second, as it does for the second call of a step.
    noising: (t) => {
      const found = places.flatMap((place, i) => (Math.abs(place - t) < 1e-4 ? [i] : []));
      const at = found[1] ?? found[0];
      return { alpha: 1, sigma: at === undefined ? interpolate(table, t) : trainSigmas[at] as number };
    },
    run: (args) => {
      takeOnly(name, args, ['timesteps']);
      const { timesteps, sigmas } = grid(args);
      const steps = sigmas.flatMap((sigma, i): SamplerStep[] => {
        const to = sigmas[i + 1] ?? 0;
        const [x, denoised] = straight(sigma, to);
        const first: SamplerStep = { ...sigmaCall(timesteps[i] as number, sigma, config.prediction_type), next: { x: [x], denoised: [denoised] } };
        return to === 0 ? [first] : [first, { ...sigmaCall(timesteps[i + 1] as number, to, config.prediction_type), next: heunCorrection(sigma, to) }];
      });
      const all = [...doubled(sigmas), 0];
      return { timesteps: rounded(doubled(timesteps)), sigmas: all, initNoiseSigma: startSigma(all, config.timestep_spacing), recipe: { start: 1, steps, end: 1 }, ...limitOf(config) };
    },
  };
};
