/** `scheduler_config.json` as diffusers writes it: names, defaults and meanings are diffusers'. @source huggingface/diffusers, src/diffusers/schedulers */
import { z } from 'zod';
import { ConfigError } from '../../errors.ts';
import { type VpSchedule, cosineBetas, expBetas, linearBetas, rescaleZeroTerminalSnr, scaledLinearBetas, sigmoidBetas, vpSchedule } from '../betas.ts';

const betaFields = {
  num_train_timesteps: z.int().positive().default(1000),
  beta_start: z.number().default(0.0001),
  beta_end: z.number().default(0.02),
  beta_schedule: z.string().default('linear'),
  trained_betas: z.array(z.number()).nullable().default(null),
};
const limitFields = {
  thresholding: z.boolean().default(false),
  dynamic_thresholding_ratio: z.number().default(0.995),
  clip_sample_range: z.number().default(1),
  sample_max_value: z.number().default(1),
};
const sigmaFields = {
  use_karras_sigmas: z.boolean().nullable().default(false),
  use_exponential_sigmas: z.boolean().nullable().default(false),
  use_beta_sigmas: z.boolean().nullable().default(false),
};
const spacing = z.enum(['linspace', 'leading', 'trailing']);
const steps_offset = z.int().default(0);
const rescale_betas_zero_snr = z.boolean().default(false);
const x0EpsV = z.enum(['epsilon', 'sample', 'v_prediction']).default('epsilon');

/** What each scheduler class can be configured with; anything else is refused by name. */
export const schemas = {
  DDPMScheduler: z.strictObject({
    ...betaFields, ...limitFields, rescale_betas_zero_snr, steps_offset, prediction_type: x0EpsV,
    variance_type: z.enum(['fixed_small', 'fixed_small_log', 'fixed_large', 'learned', 'learned_range']).default('fixed_small'),
    clip_sample: z.boolean().default(true), timestep_spacing: spacing.default('leading'),
  }),
  DDIMScheduler: z.strictObject({
    ...betaFields, ...limitFields, rescale_betas_zero_snr, steps_offset, prediction_type: x0EpsV,
    clip_sample: z.boolean().default(true), set_alpha_to_one: z.boolean().default(true), timestep_spacing: spacing.default('leading'),
  }),
  EulerDiscreteScheduler: z.strictObject({
    ...betaFields, ...sigmaFields, rescale_betas_zero_snr, steps_offset,
    prediction_type: z.enum(['epsilon', 'sample', 'original_sample', 'v_prediction']).default('epsilon'),
    interpolation_type: z.enum(['linear', 'log_linear']).default('linear'),
    sigma_min: z.number().nullable().default(null), sigma_max: z.number().nullable().default(null),
    timestep_spacing: spacing.default('linspace'), timestep_type: z.enum(['discrete', 'continuous']).default('discrete'),
    final_sigmas_type: z.enum(['zero', 'sigma_min']).default('zero'),
  }),
  EulerAncestralDiscreteScheduler: z.strictObject({
    ...betaFields, rescale_betas_zero_snr, steps_offset, prediction_type: z.enum(['epsilon', 'v_prediction']).default('epsilon'), timestep_spacing: spacing.default('linspace'),
  }),
  HeunDiscreteScheduler: z.strictObject({
    ...betaFields, ...sigmaFields, beta_start: z.number().default(0.00085), beta_end: z.number().default(0.012), steps_offset, prediction_type: x0EpsV,
    clip_sample: z.boolean().nullable().default(false), clip_sample_range: z.number().default(1), timestep_spacing: spacing.default('linspace'),
  }),
  DPMSolverMultistepScheduler: z.strictObject({
    ...betaFields, ...sigmaFields, rescale_betas_zero_snr, steps_offset,
    solver_order: z.union([z.literal(1), z.literal(2), z.literal(3)]).default(2),
    prediction_type: z.enum(['epsilon', 'sample', 'v_prediction', 'flow_prediction']).default('epsilon'),
    thresholding: z.boolean().default(false), dynamic_thresholding_ratio: z.number().default(0.995), sample_max_value: z.number().default(1),
    algorithm_type: z.enum(['dpmsolver++', 'dpmsolver', 'sde-dpmsolver++', 'sde-dpmsolver', 'deis']).default('dpmsolver++'),
    solver_type: z.enum(['midpoint', 'heun', 'logrho', 'bh1', 'bh2']).default('midpoint'),
    lower_order_final: z.boolean().default(true), euler_at_final: z.boolean().default(false),
    use_lu_lambdas: z.boolean().nullable().default(false), use_flow_sigmas: z.boolean().nullable().default(false), flow_shift: z.number().nullable().default(1),
    final_sigmas_type: z.enum(['zero', 'sigma_min']).nullable().default('zero'),
    lambda_min_clipped: z.preprocess((value) => (value === '-inf' || value === '-Infinity' || value === null ? -Infinity : value), z.number().or(z.literal(-Infinity))).default(-Infinity),
    variance_type: z.enum(['learned', 'learned_range', 'fixed_small', 'fixed_large']).nullable().default(null),
    timestep_spacing: spacing.default('linspace'), use_dynamic_shifting: z.boolean().default(false), time_shift_type: z.enum(['exponential', 'linear']).default('exponential'),
  }),
  LCMScheduler: z.strictObject({
    ...betaFields, ...limitFields, beta_start: z.number().default(0.00085), beta_end: z.number().default(0.012), beta_schedule: z.string().default('scaled_linear'),
    rescale_betas_zero_snr, steps_offset, prediction_type: x0EpsV, original_inference_steps: z.int().positive().default(50),
    clip_sample: z.boolean().default(false), set_alpha_to_one: z.boolean().default(true), timestep_spacing: spacing.default('leading'), timestep_scaling: z.number().default(10),
  }),
  FlowMatchEulerDiscreteScheduler: z.strictObject({
    ...sigmaFields, num_train_timesteps: z.int().positive().default(1000), shift: z.number().default(1), use_dynamic_shifting: z.boolean().default(false),
    base_shift: z.number().nullable().default(0.5), max_shift: z.number().nullable().default(1.15),
    base_image_seq_len: z.int().nullable().default(256), max_image_seq_len: z.int().nullable().default(4096),
    invert_sigmas: z.boolean().default(false), shift_terminal: z.number().nullable().default(null),
    time_shift_type: z.enum(['exponential', 'linear']).default('exponential'), stochastic_sampling: z.boolean().default(false),
  }),
} as const;

export type SchedulerClass = keyof typeof schemas;
export type ConfigOf<C extends SchedulerClass> = z.infer<(typeof schemas)[C]>;

export const isSchedulerClass = (name: unknown): name is SchedulerClass => typeof name === 'string' && Object.hasOwn(schemas, name);

/** Options of one class that others do not have, and that diffusers writes into a file all the same when a scheduler is made from another's file. */
const foreign: ReadonlySet<string> = new Set([...Object.values(schemas).flatMap(({ shape }) => Object.keys(shape)), 'skip_prk_steps', 'dynamic_thresholding', 'lower_order_nums', 'use_dynamic_shifting', 'solver_p', 'predict_x0', 'disable_corrector']);

/**
 * Checks a configuration and fills in diffusers' defaults. Keys that begin with an underscore are diffusers' own notes.
 * @param options.fromFile also accepts options of other scheduler classes without effect, as diffusers does for `scheduler_config.json`
 * @throws ConfigError naming the first option that is unknown or has a value out of its range
 */
export const schedulerConfig = <C extends SchedulerClass>(name: C, config: Readonly<Record<string, unknown>>, { fromFile = false }: { fromFile?: boolean } = {}): ConfigOf<C> => {
  const { shape } = schemas[name];
  const given = Object.fromEntries(Object.entries(config).filter(([key]) => !key.startsWith('_') && (!fromFile || key in shape || !foreign.has(key))));
  const parsed = schemas[name].safeParse(given);
  if (!parsed.success) {
    const issue = parsed.error.issues[0] as z.core.$ZodIssue;
    const key = issue.code === 'unrecognized_keys' ? issue.keys.join(', ') : issue.path.join('.');
    throw new ConfigError(key, `${name}: ${key}: ${issue.code === 'unrecognized_keys' ? 'no such option' : issue.message}, but received ${JSON.stringify(given[key])}`);
  }
  return parsed.data as ConfigOf<C>;
};

type BetaConfig = Readonly<{ num_train_timesteps: number; beta_start: number; beta_end: number; beta_schedule: string; trained_betas: readonly number[] | null; rescale_betas_zero_snr?: boolean }>;

/** The noise schedule a configuration describes. @throws ConfigError for a beta schedule that the class does not have */
export const scheduleFrom = (name: SchedulerClass, { num_train_timesteps: steps, beta_start: start, beta_end: end, beta_schedule, trained_betas, rescale_betas_zero_snr: rescale }: BetaConfig): VpSchedule => {
  const make = (): ArrayLike<number> => {
    if (trained_betas) return trained_betas;
    if (beta_schedule === 'linear') return linearBetas(steps, { start, end });
    if (beta_schedule === 'scaled_linear') return scaledLinearBetas(steps, { start, end });
    if (beta_schedule === 'squaredcos_cap_v2') return cosineBetas(steps);
    if (beta_schedule === 'sigmoid' && name === 'DDPMScheduler') return sigmoidBetas(steps, { start, end });
    if (beta_schedule === 'exp' && name === 'HeunDiscreteScheduler') return expBetas(steps);
    throw new ConfigError('beta_schedule', `${name}: beta_schedule: expected linear, scaled_linear or squaredcos_cap_v2 but received ${beta_schedule}`);
  };
  const betas = Float32Array.from(make());
  return vpSchedule(rescale ? rescaleZeroTerminalSnr(betas) : betas);
};
