/** DDPM, DDIM and LCM: the schedulers that step between timesteps of a table. */
import { type VpSchedule } from '../betas.ts';
import { type Prediction, type Level, denoisedFrom } from '../paths.ts';
import { lcmBoundary } from '../samplers/consistency.ts';
import { ddpmPosterior } from '../samplers/ddpm.ts';
import type { SamplerStep } from '../samplers/sampler.ts';
import { lcmTimesteps, spaceTimesteps } from '../timesteps.ts';
import { type ConfigOf, scheduleFrom } from './config.ts';
import { type Scheduler, checkDescending, limitOf, stepsOf, takeOnly } from './run.ts';

/** The level of a timestep; below 0 it is `final`. */
const tableLevels = ({ alphasCumprod }: VpSchedule, final = 1) => (t: number): Level => {
  const abar = t < 0 ? final : alphasCumprod[t] as number;
  return { t, alpha: Math.sqrt(abar), sigma: Math.sqrt(1 - abar) };
};

const noisingOf = (schedule: VpSchedule): Pick<Scheduler, 'schedule' | 'noising'> => ({ schedule, noising: tableLevels(schedule) });

/** @source huggingface/diffusers, scheduling_ddpm.py */
export const ddpmScheduler = (config: ConfigOf<'DDPMScheduler'>): Scheduler => {
  const name = 'DDPMScheduler';
  const schedule = scheduleFrom(name, config);
  const level = tableLevels(schedule);
  const total = config.num_train_timesteps;
  const noiseOf = (from: Level, to: Level): Pick<SamplerStep, 'learned'> & { noise: number } => {
    if (!(from.t > 0)) return { noise: 0 };
    const { small, large } = ddpmPosterior(from, to);
    const floored = Math.max(small, 1e-20);
    switch (config.variance_type) {
      case 'fixed_small': case 'fixed_small_log': return { noise: Math.sqrt(floored) };
      case 'fixed_large': return { noise: Math.sqrt(large) };
      case 'learned': return { noise: 1, learned: 'variance' };
      case 'learned_range': return { noise: 1, learned: { min: Math.log(floored), max: Math.log(large) } };
    }
  };
  return {
    name, ...noisingOf(schedule),
    run: (args) => {
      takeOnly(name, args, ['timesteps']);
      if (args.timesteps) checkDescending(name, args.timesteps, total);
      const timesteps = args.timesteps ?? spaceTimesteps(config.timestep_spacing, stepsOf(name, args, total), total, { offset: config.steps_offset });
      const steps = timesteps.map((t, i): SamplerStep => {
        const [from, to] = [level(t), level(timesteps[i + 1] ?? -1)];
        const { x, denoised } = ddpmPosterior(from, to);
        const { noise, ...learned } = noiseOf(from, to);
        return { level: from, inputScale: 1, denoised: denoisedFrom(config.prediction_type, from), next: { x: [x], denoised: [denoised], noise }, ...learned };
      });
      return { timesteps, initNoiseSigma: 1, recipe: { start: 1, steps, end: 1 }, ...limitOf(config) };
    },
  };
};

/** The noise estimate as a combination of state and network output. */
const noiseFrom = (prediction: Prediction, { alpha, sigma }: Level): Readonly<{ x: number; output: number }> => {
  switch (prediction) {
    case 'epsilon': return { x: 0, output: 1 };
    case 'sample': return { x: 1 / sigma, output: -alpha / sigma };
    case 'v_prediction': return { x: sigma, output: alpha };
    case 'flow': return { x: 1 / (alpha + sigma), output: alpha / (alpha + sigma) };
  }
};

/**
 * Standard deviation of the fresh noise, and the weight of the estimated one. In float32 as the reference has it: for eta 1 from (nearly) pure noise
 * the weight is the square root of a difference that is nothing but rounding.
 */
const spread = (from: Level, to: Level, eta: number): { std: number; direction: number } => {
  const f = Math.fround;
  const [abar, before] = [f(from.alpha ** 2), f(to.alpha ** 2)];
  const variance = f(f(f(1 - before) / f(1 - abar)) * f(1 - f(abar / before)));
  const std = f(eta * f(Math.sqrt(variance)));
  return { std, direction: f(Math.sqrt(Math.max(0, f(f(1 - before) - f(std ** 2))))) };
};

/** @source huggingface/diffusers, scheduling_ddim.py; the noise estimate is not corrected for clipping unless `use_clipped_model_output` */
export const ddimScheduler = (config: ConfigOf<'DDIMScheduler'>): Scheduler => {
  const name = 'DDIMScheduler';
  const schedule = scheduleFrom(name, config);
  const level = tableLevels(schedule, config.set_alpha_to_one ? 1 : schedule.alphasCumprod[0]);
  const total = config.num_train_timesteps;
  return {
    name, ...noisingOf(schedule),
    run: (args) => {
      takeOnly(name, args, ['eta', 'use_clipped_model_output']);
      const { eta = 0, use_clipped_model_output: corrected = false } = args;
      const count = stepsOf(name, args, total);
      const timesteps = spaceTimesteps(config.timestep_spacing, count, total, { offset: config.steps_offset });
      const steps = timesteps.map((t): SamplerStep => {
        const [from, to] = [level(t), level(t - Math.floor(total / count))];
        const { std, direction } = spread(from, to, eta);
        const noise = corrected ? { x: 1 / from.sigma, output: 0 } : noiseFrom(config.prediction_type, from);
        return {
          level: from, inputScale: 1, denoised: denoisedFrom(config.prediction_type, from),
          next: { x: [direction * noise.x], denoised: [to.alpha - (corrected ? direction * (from.alpha / from.sigma) : 0)], output: direction * noise.output, noise: std },
        };
      });
      return { timesteps, initNoiseSigma: 1, recipe: { start: 1, steps, end: 1 }, ...limitOf(config) };
    },
  };
};

/** @source huggingface/diffusers, scheduling_lcm.py */
export const lcmScheduler = (config: ConfigOf<'LCMScheduler'>): Scheduler => {
  const name = 'LCMScheduler';
  const schedule = scheduleFrom(name, config);
  const level = tableLevels(schedule);
  const total = config.num_train_timesteps;
  const boundary = lcmBoundary({ scaling: config.timestep_scaling });
  return {
    name, ...noisingOf(schedule),
    run: (args) => {
      takeOnly(name, args, ['timesteps', 'original_inference_steps', 'strength']);
      const { strength = 1, original_inference_steps: original = config.original_inference_steps } = args;
      const custom = args.timesteps;
      if (custom) checkDescending(name, custom, total);
      // A strength below 1 drops the noisiest custom timesteps, but the reference still takes the full number for the last step's place.
      const calls = custom ? custom.length : stepsOf(name, args, total);
      const timesteps = custom ? custom.slice(calls - Math.min(Math.trunc(calls * strength), calls)) : lcmTimesteps(calls, { original, total, strength });
      const steps = timesteps.map((t, i): SamplerStep => {
        const from = level(t);
        const last = i === calls - 1;
        const to = last ? { alpha: 1, sigma: 0 } : level(timesteps[i + 1] ?? t);
        const { cSkip, cOut } = boundary(t);
        return { level: from, inputScale: 1, denoised: denoisedFrom(config.prediction_type, from), next: { x: [to.alpha * cSkip], denoised: [to.alpha * cOut], noise: to.sigma } };
      });
      return { timesteps, initNoiseSigma: 1, recipe: { start: 1, steps, end: 1 }, ...limitOf(config) };
    },
  };
};
