/** FlowMatchEulerDiscreteScheduler. @source huggingface/diffusers, scheduling_flow_match_euler_discrete.py */
import { linspace } from '../betas.ts';
import type { SamplerStep } from '../samplers/sampler.ts';
import { exponentialShift, linearShift, shiftTime, stretchToTerminal } from '../shift.ts';
import { type ConfigOf } from './config.ts';
import { type RunArguments, type Scheduler, stepsOf, takeOnly } from './run.ts';
import { respaced } from './sigmaGrid.ts';

const name = 'FlowMatchEulerDiscreteScheduler';

export const flowMatchScheduler = (config: ConfigOf<'FlowMatchEulerDiscreteScheduler'>): Scheduler => {
  const total = config.num_train_timesteps;
  const shifted = (sigma: number): number => shiftTime(sigma, config.shift);
  const train = Array.from({ length: total }, (_, i) => Math.fround(config.use_dynamic_shifting ? (total - i) / total : shifted(Math.fround((total - i) / total))));
  const sigmasFor = (args: RunArguments): number[] => {
    if (config.use_dynamic_shifting && args.mu === undefined) throw new TypeError(`${name}: mu: expected a number, since use_dynamic_shifting is set, but received none`);
    const given = args.sigmas ?? args.timesteps?.map((t) => Math.fround(t) / total);
    if (args.sigmas && args.timesteps && args.sigmas.length !== args.timesteps.length) throw new RangeError(`${name}: expected sigmas and timesteps of one length but received ${args.sigmas.length} and ${args.timesteps.length}`);
    if (given && typeof args.num_inference_steps === 'number' && args.num_inference_steps !== given.length) throw new RangeError(`${name}: expected ${args.num_inference_steps} sigmas or timesteps but received ${given.length}`);
    // Evenly between the ends of the training grid, which are shifted already: as the reference has it, the shift acts twice there.
    const even = given ?? Array.from(linspace((train[0] as number) * total, (train[total - 1] as number) * total, stepsOf(name, args)), (t) => t / total);
    const mu = args.mu as number;
    const moved = even.map((sigma) => (!config.use_dynamic_shifting ? shifted(sigma) : config.time_shift_type === 'exponential' ? exponentialShift(sigma, mu) : linearShift(sigma, mu)));
    const stretched = config.shift_terminal ? Array.from(stretchToTerminal(moved, config.shift_terminal)) : moved;
    return Array.from(respaced(config, stretched.length, { sigmaMin: stretched.at(-1) as number, sigmaMax: stretched[0] as number }) ?? stretched, Math.fround);
  };
  return {
    name, trainSigmas: train,
    noising: (t) => {
      const nearest = train.reduce((best, sigma) => (Math.abs(sigma * total - t) < Math.abs(best * total - t) ? sigma : best), train[0] as number);
      return { alpha: 1 - nearest, sigma: nearest };
    },
    run: (args) => {
      // The churn arguments exist in the reference's step but have no effect; here they are refused.
      takeOnly(name, args, ['timesteps', 'sigmas', 'mu']);
      const forward = sigmasFor(args);
      const sigmas = config.invert_sigmas ? [...forward.map((sigma) => Math.fround(1 - sigma)), 1] : [...forward, 0];
      const timesteps = args.timesteps && !config.invert_sigmas ? args.timesteps.map(Math.fround) : sigmas.slice(0, -1).map((sigma) => Math.fround(sigma * total));
      const steps = timesteps.map((t, i): SamplerStep => {
        const [from, to] = [sigmas[i] as number, sigmas[i + 1] as number];
        const next = config.stochastic_sampling ? { x: [0], denoised: [1 - to], noise: to } : { x: [1], denoised: [0], output: to - from };
        return { level: { t, alpha: 1 - from, sigma: from }, inputScale: 1, denoised: { x: 1, output: -from }, next };
      });
      return { timesteps, sigmas, initNoiseSigma: 1, recipe: { start: 1, steps, end: 1 } };
    },
  };
};
