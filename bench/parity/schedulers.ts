/** Goldens of diffusers' schedulers: tables, training-side noising, and whole trajectories of an analytic network. */
import { type RunArguments, type Scheduler } from '../../src/schedules/diffusers/run.ts';
import { isSchedulerClass } from '../../src/schedules/diffusers/config.ts';
import { schedulerFrom } from '../../src/schedules/diffusers/scheduler.ts';
import { type Denoise, runRecipe } from '../../src/schedules/samplers/sampler.ts';
import * as tf from '../../src/tf.ts';
import { relativeError } from './compare.ts';
import { type Comparison, type Golden, type Handler, initOf, toleranceOf } from './golden.ts';

type Values = ArrayLike<number>;

const stored = ({ io, manifest }: Golden, name: string): Float32Array => {
  const value = io[name];
  if (!value) throw new TypeError(`${manifest.name}: the golden has no tensor ${name}`);
  return value.data;
};

/** `a*x + b*sin(t)` or `a*x + b*sin(t/c)`, as the manifest writes it. */
const analytic = ({ manifest }: Golden): Denoise => {
  const text = String(manifest.config['model']);
  const found = /^\s*(-?[\d.]+)\s*\*\s*x\s*([+-])\s*([\d.]+)\s*\*\s*sin\(t(?:\s*\/\s*([\d.]+))?\)/.exec(text);
  if (!found) throw new TypeError(`${manifest.name}: expected a model a*x + b*sin(t) but received ${text}`);
  const [, slope, sign, height, divisor] = found;
  const wave = Number(height) * (sign === '-' ? -1 : 1);
  return (x, t) => tf.add(tf.mul(x, Number(slope)), tf.reshape(tf.mul(tf.sin(tf.div(t, Number(divisor ?? 1))), wave), [-1, 1, 1, 1]));
};

/** Entry k of a stacked trajectory, [B, C, H, W], as NHWC. */
const entry = (golden: Golden, name: string, k: number): tf.Tensor4D => {
  const [, ...shape] = golden.io[name]?.shape as [number, number, number, number, number];
  const size = shape.reduce((a, b) => a * b, 1);
  return tf.transpose(tf.tensor4d(stored(golden, name).slice(k * size, (k + 1) * size), shape), [0, 2, 3, 1]);
};

const trajectory = async (golden: Golden, scheduler: Scheduler, args: RunArguments): Promise<Comparison[]> => {
  const limit = toleranceOf(golden, 'trajectory', 1e-4);
  const run = scheduler.run(args);
  const columns: Record<'sample' | 'model_input' | 'model_output' | 'pred_x0', tf.Tensor[]> = { sample: [], model_input: [], model_output: [], pred_x0: [] };
  const keep = (x: tf.Tensor): tf.Tensor => tf.keep(tf.transpose(x, [0, 3, 1, 2]));
  const used = stored(golden, 'trajectory.noise_used');
  tf.tidy(() => {
    const start = entry(golden, 'trajectory.sample', 0);
    columns.sample.push(keep(start));
    runRecipe(analytic(golden), start, run.recipe, {
      ...(run.limit && { limit: run.limit }),
      noise: (k) => {
        if (used[k] !== 1) throw new RangeError(`${golden.manifest.name}: step ${k} draws noise, but the reference did not`);
        return entry(golden, 'trajectory.noise', k);
      },
      observe: (i, { input, output, denoised, next }) => {
        columns.sample.push(keep(next));
        columns.model_input.push(keep(input));
        columns.model_output.push(keep(output));
        const step = run.recipe.steps[i];
        // LCM reports the consistency output, which differs from the network's x0 by its boundary condition; it is the next state where no noise follows.
        const last = scheduler.name === 'LCMScheduler' && step?.next.noise === 0;
        columns.pred_x0.push(keep(last ? next : denoised));
      },
    });
  });
  const comparisons: Comparison[] = [
    { name: 'timesteps', error: relativeError(run.timesteps, stored(golden, 'timesteps')), limit: run.timesteps.every(Number.isInteger) ? 1e-7 : 1e-5 },
    { name: 'init_noise_sigma', error: relativeError([run.initNoiseSigma], stored(golden, 'init_noise_sigma')), limit: toleranceOf(golden, 'tables', 2e-6) },
  ];
  if (golden.io['sigmas']) comparisons.push({ name: 'sigmas', error: relativeError(run.sigmas ?? [], stored(golden, 'sigmas')), limit: toleranceOf(golden, 'tables', 2e-6) });
  for (const [name, tensors] of Object.entries(columns)) {
    const full = `trajectory.${name}`;
    if (full in golden.io) {
      const stacked = tf.stack(tensors);
      comparisons.push({ name: full, error: relativeError(await stacked.data(), stored(golden, full)), limit });
      stacked.dispose();
    }
  }
  tf.dispose(columns);
  return comparisons;
};

/** The training timestep whose level the reference uses: before `set_timesteps` two of its look-ups go by position in a table that runs the other way. */
const noisingStep = (scheduler: Scheduler, t: number): number => (scheduler.name === 'DPMSolverMultistepScheduler' ? (scheduler.schedule?.betas.length as number) - 1 - t : t);
const velocityStep = (scheduler: Scheduler, t: number): number => {
  if (!scheduler.name.startsWith('Euler')) return t;
  const { sigma } = scheduler.noising(t);
  const distances = (scheduler.trainSigmas ?? []).map((tabled) => Math.abs(tabled - sigma));
  return distances.indexOf(Math.min(...distances));
};

/** Rows of two images combined with weights per row. */
const mix = (golden: Golden, weights: readonly (readonly [x0: number, noise: number])[]): Float32Array => {
  const [x0, noise] = [stored(golden, 'train.x0'), stored(golden, 'train.noise')];
  const size = x0.length / weights.length;
  return x0.map((value, k) => {
    const [clean, noisy] = weights[Math.floor(k / size)] as readonly [number, number];
    return clean * value + noisy * (noise[k] as number);
  });
};

const tables = (golden: Golden, scheduler: Scheduler): Comparison[] => {
  const limit = toleranceOf(golden, 'tables', 2e-6);
  const ours: Record<string, Values | undefined> = { 'table.betas': scheduler.schedule?.betas, 'table.alphas_cumprod': scheduler.schedule?.alphasCumprod, 'table.train_sigmas': scheduler.trainSigmas };
  const found = Object.keys(golden.io).filter((name) => name.startsWith('table.')).map((name) => ({ name, error: relativeError(ours[name] ?? [], stored(golden, name)), limit, ...(ours[name] ? {} : { note: 'not computed' }) }));
  if (!('train.noisy' in golden.io)) return found;
  const timesteps = Array.from(stored(golden, 'train.timesteps'));
  const noisy = mix(golden, timesteps.map((t) => {
    const { alpha, sigma } = scheduler.noising(noisingStep(scheduler, t));
    return [alpha, sigma];
  }));
  found.push({ name: 'train.noisy', error: relativeError(noisy, stored(golden, 'train.noisy')), limit: toleranceOf(golden, 'forward', 2e-5) });
  if ('train.velocity' in golden.io) {
    const velocity = mix(golden, timesteps.map((t) => {
      const abar = scheduler.schedule?.alphasCumprod[velocityStep(scheduler, t)] as number;
      return [-Math.sqrt(1 - abar), Math.sqrt(abar)];
    }));
    found.push({ name: 'train.velocity', error: relativeError(velocity, stored(golden, 'train.velocity')), limit: toleranceOf(golden, 'forward', 2e-5) });
  }
  return found;
};

const diffusers: Handler = {
  kind: 'scheduler',
  matches: ({ manifest: { config } }) => isSchedulerClass(config['class']),
  run: async (golden) => {
    const { config } = golden.manifest;
    const scheduler = schedulerFrom(String(config['class']), initOf(golden));
    const { num_inference_steps, set_timesteps, step } = config as { num_inference_steps?: number | null; set_timesteps?: object; step?: object };
    const args: RunArguments = { ...(typeof num_inference_steps === 'number' && { num_inference_steps }), ...set_timesteps, ...step };
    return [...tables(golden, scheduler), ...await trajectory(golden, scheduler, args)];
  },
};

export const handlers: readonly Handler[] = [diffusers];
