/** DPMSolverMultistepScheduler. @source huggingface/diffusers, scheduling_dpmsolver_multistep.py */
import { ConfigError } from '../../errors.ts';
import { linspace, sigmasOf } from '../betas.ts';
import { type Level, denoisedFrom } from '../paths.ts';
import { type DpmAlgorithm, dpmSteps } from '../samplers/dpmSolver.ts';
import { interpolate } from '../sigmas.ts';
import { shiftTime } from '../shift.ts';
import { roundHalfEven } from '../timesteps.ts';
import { type ConfigOf, scheduleFrom } from './config.ts';
import { type RunArguments, type Scheduler, limitOf, stepsOf, takeOnly } from './run.ts';
import { checkCustom, respaced, timestepsOf } from './sigmaGrid.ts';

type Config = ConfigOf<'DPMSolverMultistepScheduler'>;
const name = 'DPMSolverMultistepScheduler';

/** Evenly spaced timesteps below `last`; one more interval than steps, whose clean end is left out. */
const plainTimesteps = ({ timestep_spacing: spacing, steps_offset: offset, num_train_timesteps: total }: Config, steps: number, last: number): number[] => {
  if (spacing === 'linspace') return Array.from(linspace(0, last - 1, steps + 1), roundHalfEven).reverse().slice(0, -1);
  if (spacing === 'leading') return Array.from({ length: steps }, (_, k) => (steps - k) * Math.floor(last / (steps + 1)) + offset);
  const stride = total / steps;
  return Array.from({ length: Math.ceil(last / stride) }, (_, k) => roundHalfEven(last - k * stride) - 1);
};

const algorithmOf = ({ algorithm_type: type, solver_type: solver, final_sigmas_type, solver_order, prediction_type }: Config): { algorithm: DpmAlgorithm; solverType: 'midpoint' | 'heun' } => {
  const algorithm = type === 'deis' ? 'dpmsolver++' : type;
  const data = algorithm === 'dpmsolver++' || algorithm === 'sde-dpmsolver++';
  if (type !== 'dpmsolver++' && type !== 'sde-dpmsolver++' && final_sigmas_type === 'zero') throw new ConfigError('final_sigmas_type', `${name}: final_sigmas_type: expected sigma_min with algorithm_type ${type} but received zero`);
  if (!data && prediction_type === 'flow_prediction') throw new ConfigError('prediction_type', `${name}: prediction_type: flow_prediction needs a ++ algorithm but received algorithm_type ${type}`);
  if (algorithm === 'sde-dpmsolver' && solver_order === 3) throw new ConfigError('solver_order', `${name}: solver_order: expected 1 or 2 with algorithm_type sde-dpmsolver but received 3`);
  return { algorithm, solverType: solver === 'heun' ? 'heun' : 'midpoint' };
};

/** diffusers' choice of order at each call: it grows at the start and falls at the end of short runs. */
const orderOf = ({ solver_order: order, lower_order_final: lower, euler_at_final: euler, final_sigmas_type: final }: Config) => (i: number, calls: number): number => {
  const short = lower && calls < 15;
  if (order === 1 || i < 1 || (i === calls - 1 && (euler || short || final === 'zero'))) return 1;
  return order === 2 || i < 2 || (i === calls - 2 && short) ? 2 : 3;
};

export const dpmSolverScheduler = (config: Config): Scheduler => {
  const { algorithm, solverType } = algorithmOf(config);
  const base = scheduleFrom(name, config);
  const alphasCumprod = base.alphasCumprod.slice();
  if (config.rescale_betas_zero_snr) alphasCumprod[alphasCumprod.length - 1] = 2 ** -24;
  const schedule = { ...base, alphasCumprod };
  const table = sigmasOf(schedule);
  const [total, flow] = [config.num_train_timesteps, Boolean(config.use_flow_sigmas)];
  const levelAt = (t: number, sigma: number): Level => {
    if (flow) return { t, alpha: 1 - sigma, sigma };
    const alpha = 1 / Math.sqrt(sigma ** 2 + 1);
    return { t, alpha, sigma: sigma * alpha };
  };
  const grid = (args: RunArguments): { timesteps: number[]; sigmas: number[] } => {
    if (args.timesteps) checkCustom(config);
    if (args.mu !== undefined && (!config.use_dynamic_shifting || config.time_shift_type !== 'exponential')) throw new ConfigError('mu', `${name}: mu needs use_dynamic_shifting and an exponential time_shift_type`);
    // Halves of lambda below the bound are left out at the noisy end.
    const clipped = table.filter((sigma) => -Math.log(sigma) < config.lambda_min_clipped).length;
    const count = args.timesteps?.length ?? stepsOf(name, args);
    const timesteps = args.timesteps ? args.timesteps.map(Math.trunc) : plainTimesteps(config, count, total - clipped);
    const range = { sigmaMin: table[0] as number, sigmaMax: table[table.length - 1] as number };
    const nearest = (sigmas: ArrayLike<number>): number[] => timestepsOf(sigmas, table).map((t) => (config.beta_schedule === 'squaredcos_cap_v2' ? t : roundHalfEven(t)));
    const spaced = respaced(config, count, range);
    if (spaced) return { sigmas: Array.from(spaced), timesteps: config.use_karras_sigmas ? nearest(spaced) : timestepsOf(spaced, table) };
    if (config.use_lu_lambdas) {
      const sigmas = linspace(Math.log(range.sigmaMax), Math.log(range.sigmaMin), count).map(Math.exp);
      return { sigmas: Array.from(sigmas), timesteps: nearest(sigmas) };
    }
    if (flow) {
      const shift = args.mu === undefined ? config.flow_shift ?? 1 : Math.exp(args.mu);
      const sigmas = Array.from(linspace(1, 1 / total, count + 1), (alpha) => shiftTime(1 - alpha, shift)).reverse().slice(0, -1);
      return { sigmas, timesteps: sigmas.map((sigma) => sigma * total) };
    }
    return { sigmas: timesteps.map((t) => interpolate(table, t)), timesteps };
  };
  return {
    name, schedule, trainSigmas: [...table],
    noising: (t) => levelAt(t, table[t] as number),
    run: (args) => {
      takeOnly(name, args, ['timesteps', 'mu']);
      const plan = grid(args);
      const sigmas = [...plan.sigmas, config.final_sigmas_type === 'sigma_min' ? table[0] as number : 0].map(Math.fround);
      const timesteps = plan.timesteps.map(Math.trunc);
      const levels = sigmas.map((sigma, i) => levelAt(timesteps[i] ?? -1, sigma));
      const steps = dpmSteps(levels, { algorithm, solverType, order: config.solver_order, orderAt: orderOf(config), diffusersThirdOrder: true }).map((step) => ({
        ...step,
        denoised: config.prediction_type === 'flow_prediction' ? { x: 1, output: -step.level.sigma } : denoisedFrom(config.prediction_type, step.level),
      }));
      return { timesteps, sigmas, initNoiseSigma: 1, recipe: { start: 1, steps, end: 1 }, ...limitOf({ ...config, clip_sample: false }) };
    },
  };
};
