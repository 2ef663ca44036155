import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { findGoldens, readGolden } from '../../../bench/parity/golden.ts';
import { handlers } from '../../../bench/parity/schedulers.ts';
import { ConfigError } from '../../../src/errors.ts';
import { threshold } from '../../../src/schedules/diffusers/run.ts';
import { schedulerFrom } from '../../../src/schedules/diffusers/scheduler.ts';
import { linspaceFloat32, expFloat32 } from '../../../src/schedules/float32.ts';
import * as tf from '../../../src/tf.ts';
import { leakFree } from '../../support.ts';

const folders = await findGoldens(fileURLToPath(new URL('../../goldens/schedulers', import.meta.url)));

describe('schedulers equal diffusers on', () => {
  it.each(folders.map((folder) => [folder.split('/').at(-1), folder]))('%s', async (_, folder) => {
    const golden = await readGolden(folder as string);
    const comparisons = await handlers.find(({ matches }) => matches(golden))?.run(golden);
    expect(comparisons?.map(({ name }) => name)).toContain('trajectory.sample');
    expect(comparisons?.filter(({ error, limit }) => !(error <= limit))).toEqual([]);
  });
});

describe('configurations', () => {
  it.each([
    ['a class there is none of', () => schedulerFrom('PNDMScheduler', {}), 'PNDMScheduler'],
    ['an unknown option', () => schedulerFrom('DDIMScheduler', { beta_begin: 1 }), 'beta_begin'],
    ['an option of another class', () => schedulerFrom('EulerAncestralDiscreteScheduler', { use_karras_sigmas: true }), 'use_karras_sigmas'],
    ['a beta schedule the class lacks', () => schedulerFrom('DDIMScheduler', { beta_schedule: 'sigmoid' }), 'beta_schedule'],
    ['a variance that has no meaning', () => schedulerFrom('DDPMScheduler', { variance_type: 'fixed_large_log' }), 'variance_type'],
    ['an unknown prediction', () => schedulerFrom('LCMScheduler', { prediction_type: 'noise' }), 'prediction_type'],
    ['a noise-predicting solver that ends at 0', () => schedulerFrom('DPMSolverMultistepScheduler', { algorithm_type: 'dpmsolver' }), 'final_sigmas_type'],
    ['a third order there is none of', () => schedulerFrom('DPMSolverMultistepScheduler', { algorithm_type: 'sde-dpmsolver', final_sigmas_type: 'sigma_min', solver_order: 3 }), 'solver_order'],
    ['two ways of spacing sigmas', () => schedulerFrom('EulerDiscreteScheduler', { use_karras_sigmas: true, use_beta_sigmas: true }).run({ num_inference_steps: 3 }), 'use_karras_sigmas, use_beta_sigmas'],
    ['custom timesteps with spaced sigmas', () => schedulerFrom('HeunDiscreteScheduler', { use_karras_sigmas: true }).run({ timesteps: [900, 1] }), 'timesteps'],
  ])('%s is refused by name', (_, make, name) => {
    expect(make).toThrow(ConfigError);
    expect(make).toThrow(name);
  });
  it('arguments a scheduler does not take are refused by name', () => {
    expect(() => schedulerFrom('DDPMScheduler', {}).run({ num_inference_steps: 3, eta: 1 })).toThrow('eta is not an argument');
    expect(() => schedulerFrom('DDIMScheduler', {}).run({})).toThrow('num_inference_steps');
    expect(() => schedulerFrom('DDPMScheduler', {}).run({ timesteps: [5, 9] })).toThrow('falling timesteps');
    expect(() => schedulerFrom('FlowMatchEulerDiscreteScheduler', { use_dynamic_shifting: true }).run({ num_inference_steps: 3 })).toThrow('mu');
    expect(() => schedulerFrom('FlowMatchEulerDiscreteScheduler', {}).run({ num_inference_steps: 3, sigmas: [1, 0.5] })).toThrow('received 2');
  });
  it('a file may carry notes and options of other classes, but nothing unknown', () => {
    const turbo = { _class_name: 'EulerDiscreteScheduler', _diffusers_version: '0.24.0.dev0', beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear', clip_sample: false, interpolation_type: 'linear', num_train_timesteps: 1000, prediction_type: 'epsilon', sample_max_value: 1, set_alpha_to_one: false, skip_prk_steps: true, steps_offset: 1, timestep_spacing: 'trailing', trained_betas: null, use_karras_sigmas: false };
    expect(schedulerFrom('EulerDiscreteScheduler', turbo, { fromFile: true }).run({ num_inference_steps: 1 }).timesteps).toEqual([999]);
    expect(() => schedulerFrom('EulerDiscreteScheduler', { ...turbo, smapler: 1 }, { fromFile: true })).toThrow('smapler');
    expect(() => schedulerFrom('EulerDiscreteScheduler', turbo)).toThrow('clip_sample');
  });
});

it('thresholding clips to a quantile and divides by it, per image', leakFree(async () => {
  const x = tf.tensor4d([0, 1, 2, 10, 0, 0.1, 0.2, 0.3], [2, 2, 2, 1]);
  const y = tf.tidy(() => threshold(2 / 3, 100)(x));
  // |x| sorted: 0 1 2 10, two thirds of the way: 2. The second image stays within 1, so it is left as it is.
  expect(Array.from(await y.data()).map((value) => Math.round(value * 1e5) / 1e5)).toEqual([0, 0.5, 1, 1, 0, 0.1, 0.2, 0.3]);
  tf.dispose([x, y]);
}));

it('single precision: exp within one unit in the last place, linspace within two', () => {
  for (let x = -20; x <= 2; x += 0.37) expect(Math.abs(expFloat32(x) / Math.exp(Math.fround(x)) - 1)).toBeLessThan(1.2e-7);
  const grid = linspaceFloat32(1e-4, 0.02, 37);
  grid.forEach((value, i) => expect(Math.abs(value - (1e-4 + (0.0199 * i) / 36))).toBeLessThan(4e-9));
});
