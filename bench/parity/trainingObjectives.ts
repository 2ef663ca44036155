/** Consistency models, latent consistency, shortcut models, conditional flow matching. */
import { assign, squaredDistances } from '../../src/losses/diffusion/assignment.ts';
import { type DenoiserAt, consistencyPair, neighbours } from '../../src/losses/diffusion/consistency.ts';
import { edmLoss, preconditioned } from '../../src/losses/diffusion/edm.ts';
import { type FlowOptions, flowPoint, scoreWeight } from '../../src/losses/diffusion/flow.ts';
import { ddimGrid, ddimSolve, guidanceEmbedding, guided } from '../../src/losses/diffusion/lcm.ts';
import { absoluteError, perImage, squaredError } from '../../src/losses/diffusion/levels.ts';
import { toNoise, toX0 } from '../../src/losses/diffusion/predictions.ts';
import { type ShortcutNetwork, shortcutPoint, shortcutSizes, shortcutTarget } from '../../src/losses/diffusion/shortcut.ts';
import { convolve } from '../../src/models/nn.ts';
import { gradientsOf } from '../../src/models/tape.ts';
import { consistencySchedule } from '../../src/schedules/emaProfiles.ts';
import { schedulerFrom } from '../../src/schedules/diffusers/scheduler.ts';
import { lcmBoundary } from '../../src/schedules/samplers/consistency.ts';
import { boundaryScalings, edmScalings } from '../../src/schedules/scalings.ts';
import { appendZero, karrasSigmas } from '../../src/schedules/sigmas.ts';
import { consistencyWeight } from '../../src/schedules/weightings.ts';
import * as tf from '../../src/tf.ts';
import { type Golden, type Handler, tensorOf, toleranceOf } from './golden.ts';
import { compareAll, from, image, nchw, stored } from './trainingSupport.ts';

type Image = tf.Tensor4D;
type Weights = Readonly<{ 'conv.weight': tf.Tensor4D; 'conv.bias': tf.Tensor1D; 'lin.weight': tf.Tensor2D; 'lin.bias': tf.Tensor1D }>;

/** The golden's network, tanh(conv(x) + linear(t / 1000)), where t is 250 ln sigma. */
const tiny = (weights: Weights) => (x: Image, cNoise: tf.Tensor1D): Image => {
  const told = tf.add(tf.matMul(tf.reshape(cNoise, [-1, 1]) as tf.Tensor2D, weights['lin.weight'], false, true), weights['lin.bias']);
  const features = tf.add(convolve(x, weights['conv.weight'], { padding: 1 }), weights['conv.bias']);
  return tf.tanh(tf.add<Image>(features, tf.reshape(told, [-1, 1, 1, told.shape[1] as number])));
};

const consistency: Handler = {
  kind: 'consistency models',
  matches: (golden) => from(golden, 'openai/consistency_models'),
  run: (golden) => {
    const config = golden.manifest.config as Readonly<Record<string, unknown>> & { sigma_data: number; weight_schedule: Parameters<typeof consistencyWeight>[0]; loss_norm: string; num_scales: number; teacher: boolean };
    const schedules = Object.entries(config).find(([key]) => key.startsWith('schedules'));
    const total = Number(/total_steps (\d+)/.exec(schedules?.[0] ?? '')?.[1] ?? 0);
    const { sigma_data: sigmaData, weight_schedule: kind, num_scales: scales } = config;
    const weightsOf = (role: string): Weights => Object.fromEntries(['conv.weight', 'conv.bias', 'lin.weight', 'lin.bias'].map((name) => [name, tensorOf(golden, `model.${role}.${name}`)])) as unknown as Weights;
    const distance = { l1: absoluteError, l2: squaredError }[config.loss_norm];
    if (!distance) throw new TypeError(`${golden.manifest.name}: expected a loss norm l1 or l2 but received ${config.loss_norm}`);
    return compareAll(golden, ['sigmas', 'loss.x_start', 'loss.noise', 'loss.indices', 'model.*', 'edm_training.sigmas', 'edm_training.x_start', 'edm_training.noise', 'schedule.steps'], () => {
      const sigmas = tensorOf(golden, 'sigmas');
      const named = { edm: edmScalings(sigmas, sigmaData), boundary: boundaryScalings(sigmas, sigmaData) };
      const scalings = Object.fromEntries(Object.entries(named).flatMap(([name, { cSkip, cOut, cIn }]) => [[`scalings.${name}.c_skip`, cSkip], [`scalings.${name}.c_out`, cOut], [`scalings.${name}.c_in`, cIn]]));
      const online = weightsOf('online');
      const boundary = (weights: Weights): DenoiserAt => (x, sigma) => preconditioned(tiny(weights), x, sigma, { sigmaData, boundary: true });
      const plain = (weights: Weights): DenoiserAt => (x, sigma) => preconditioned(tiny(weights), x, sigma, { sigmaData });
      const { sigma, next } = neighbours(stored(golden, 'loss.indices'), scales);
      const leaves = Object.entries(online);
      const { grads, extra } = gradientsOf(leaves.map(([, leaf]) => leaf), () => {
        const { output, target } = consistencyPair(boundary(online), boundary(weightsOf('target')), image(golden, 'loss.x_start'), image(golden, 'loss.noise'), {
          sigma: perImage(sigma), next: perImage(next), ...(config.teacher && { teacher: plain(weightsOf('teacher')) }),
        });
        const value = tf.mul(distance(output, target), tf.tensor1d(sigma.map((s) => consistencyWeight(kind, s ** -2, sigmaData))));
        return { loss: tf.mean(value) as tf.Scalar, extra: value };
      });
      const results: Record<string, tf.Tensor | ArrayLike<number>> = {
        ...scalings, weightings: Array.from(stored(golden, 'sigmas'), (s) => consistencyWeight(kind, s ** -2, sigmaData)),
        karras_sigmas: appendZero(karrasSigmas(scales, { sigmaMin: 0.002, sigmaMax: 80 })),
        'loss.value': extra, ...Object.fromEntries(leaves.map(([name], i) => [`loss.mean_grad.${name}`, grads[i] as tf.Tensor])),
      };
      if ('edm_training.mse' in golden.io) {
        const at = tf.reshape(tensorOf(golden, 'edm_training.sigmas'), [-1, 1, 1, 1]) as Image;
        const target = image(golden, 'loss.x_start');
        const denoised = plain(online)(tf.add(target, tf.mul(image(golden, 'loss.noise'), at)), at);
        Object.assign(results, { 'edm_training.xs_mse': squaredError(denoised, target), 'edm_training.mse': edmLoss(denoised, target, at, sigmaData) });
      }
      for (const [i, [emaMode, startEma, scaleMode, startScales, endScales]] of ((schedules?.[1] ?? []) as ['fixed' | 'adaptive', number, 'fixed' | 'progressive' | 'progdist', number, number][]).entries()) {
        const rows = Array.from(stored(golden, 'schedule.steps'), (step) => consistencySchedule(step, { emaMode, startEma, scaleMode, startScales, endScales, totalSteps: total }));
        Object.assign(results, { [`schedule.${i}.ema`]: rows.map(({ ema }) => ema), [`schedule.${i}.scales`]: rows.map((row) => row.scales) });
      }
      return results;
    }, (name) => toleranceOf(golden, name.includes('grad') ? 'gradient' : 'forward', 1e-4));
  },
};

const lcm: Handler = {
  kind: 'latent consistency',
  matches: (golden) => from(golden, 'huggingface/diffusers', 'examples/consistency_distillation'),
  run: (golden) => {
    const config = golden.manifest.config as { scheduler: Record<string, unknown>; ddim_timesteps: number; timestep_scaling: number; embedding_dim: number };
    const { schedule, noising } = schedulerFrom('DDPMScheduler', config.scheduler);
    if (!schedule) throw new TypeError('DDPMScheduler: expected a schedule');
    return compareAll(golden, ['scaling.timesteps', 'step.index', 'step.start_timesteps', 'step.timesteps', 'step.x', 'step.cond_output', 'step.uncond_output', 'step.w', 'embedding.w'], () => {
      const grid = ddimGrid(schedule, config.ddim_timesteps);
      const weights = Array.from(stored(golden, 'scaling.timesteps'), lcmBoundary({ scaling: config.timestep_scaling }));
      const index = Array.from(stored(golden, 'step.index'));
      const levels = Array.from(stored(golden, 'step.start_timesteps'), noising);
      const level = { alpha: perImage(levels.map(({ alpha }) => alpha)), sigma: perImage(levels.map(({ sigma }) => sigma)) };
      const [x, cond, uncond, w] = [image(golden, 'step.x'), image(golden, 'step.cond_output'), image(golden, 'step.uncond_output'), perImage(stored(golden, 'step.w'))];
      const steps = (['epsilon', 'v_prediction', 'sample'] as const).flatMap((prediction) => {
        const [x0, noise] = [toX0(prediction, cond, x, level), toNoise(prediction, cond, x, level)];
        const solved = ddimSolve(grid, guided(x0, toX0(prediction, uncond, x, level), w), guided(noise, toNoise(prediction, uncond, x, level), w), index);
        return [[`step.${prediction}.pred_x0_cond`, nchw(x0)], [`step.${prediction}.pred_noise_cond`, nchw(noise)], [`step.${prediction}.x_prev`, nchw(solved)]] as const;
      });
      return {
        'scaling.c_skip': weights.map(({ cSkip }) => cSkip), 'scaling.c_out': weights.map(({ cOut }) => cOut),
        'ddim.timesteps': grid.timesteps, 'ddim.alpha_cumprods': grid.alphasCumprod, 'ddim.alpha_cumprods_prev': grid.previous,
        ...Object.fromEntries(steps), embedding: guidanceEmbedding(stored(golden, 'embedding.w'), config.embedding_dim),
      };
    }, () => toleranceOf(golden, 'forward', 2e-5));
  },
};

/** The golden's network, in our direction of time: a*x + sin(b*t) - c*dt + d*label, negated. */
const shortcutNetwork = (golden: Golden): ShortcutNetwork => {
  const found = /^\s*(-?[\d.]+)\*x \+ sin\((-?[\d.]+)\*t\) - ([\d.]+)\*dt_base \+ ([\d.]+)\*label/.exec(String(golden.manifest.config['network']));
  if (!found) throw new TypeError(`${golden.manifest.name}: expected the known network but received ${String(golden.manifest.config['network'])}`);
  const [slope, rate, size, shift] = found.slice(1).map(Number) as [number, number, number, number];
  return (x, t, dtBase, labels) => tf.neg(tf.add<Image>(tf.mul(x, slope), perImage(t.map((time, i) => Math.sin(rate * (1 - time)) - size * (dtBase[i] as number) + shift * (labels[i] as number)))));
};

const rows = (x: Image, start: number, count: number): Image => tf.slice4d(x, [start, 0, 0, 0], [count, -1, -1, -1]);

const shortcut: Handler = {
  kind: 'shortcut models',
  matches: (golden) => from(golden, 'kvfrans/shortcut-models'),
  run: (golden) => {
    const config = golden.manifest.config as { batch_size: number; bootstrap_every: number; denoise_timesteps: number; bootstrap_dt_bias: 0 | 1; bootstrap_cfg: number; cfg_scale: number; num_classes: number };
    const bootstrap = Math.floor(config.batch_size / config.bootstrap_every);
    const rest = config.batch_size - bootstrap;
    return compareAll(golden, ['images', 'labels', 'noise', 'noise_bootstrap', 't', 'labels_out'], () => {
      // These images are NHWC in the golden too.
      const [images, noise, noiseBootstrap] = ['images', 'noise', 'noise_bootstrap'].map((name) => tensorOf<tf.Rank.R4>(golden, name)) as [Image, Image, Image];
      const t = Array.from(stored(golden, 't'), (time) => 1 - time);
      const labels = Array.from(stored(golden, 'labels')).slice(0, bootstrap);
      const sizes = shortcutSizes(bootstrap, config.denoise_timesteps, { bias: config.bootstrap_dt_bias });
      const first = shortcutPoint(rows(images, 0, bootstrap), noiseBootstrap, perImage(t.slice(0, bootstrap)));
      const target = shortcutTarget(shortcutNetwork(golden), first.z, t.slice(0, bootstrap), sizes.dtBase, labels, config.bootstrap_cfg ? { guidance: { scale: config.cfg_scale, guided: sizes.guided, none: config.num_classes } } : {});
      const second = shortcutPoint(rows(images, 0, rest), rows(noise, 0, rest), perImage(t.slice(bootstrap)));
      return {
        x_t: tf.concat([first.z, second.z], 0), v_target: tf.neg(tf.concat([target, second.velocity], 0)),
        dt_base: [...sizes.dtBase, ...new Array<number>(rest).fill(Math.log2(config.denoise_timesteps))],
      };
    }, () => toleranceOf(golden, 'forward', 2e-5));
  },
};

const flowMatching: Handler = {
  kind: 'conditional flow matching',
  matches: (golden) => from(golden, 'atong01/conditional-flow-matching'),
  run: (golden) => {
    const sigma = Number(golden.manifest.config['sigma']);
    const variants: Readonly<Record<string, FlowOptions>> = {
      independent: { sigma }, independent_sigma0: { sigma: 0 }, target: { kind: 'target', sigma }, schroedinger: { kind: 'bridge', sigma }, variance_preserving: { kind: 'trigonometric', sigma },
    };
    const names = Object.keys(golden.io);
    return compareAll(golden, ['x0', 'x1', 't', 'ot.sampled_i', 'ot.sampled_j', ...names.filter((name) => name.endsWith('.eps'))], () => {
      // The reference's time runs from the source to the target.
      const [source, target] = [image(golden, 'x0'), image(golden, 'x1')];
      const t = perImage(Array.from(stored(golden, 't'), (time) => 1 - time));
      const results = Object.entries(variants).filter(([name]) => `${name}.xt` in golden.io).flatMap(([name, options]) => {
        const { z, velocity } = flowPoint(target, source, t, options, image(golden, `${name}.eps`));
        const weight = tf.reshape(scoreWeight(t, options), [-1]);
        const constant = golden.io[`${name}.lambda`]?.data.length === 1;
        return [[`${name}.xt`, nchw(z)], [`${name}.ut`, nchw(tf.neg(velocity))], [`${name}.lambda`, constant ? tf.slice(weight, [0], [1]) : weight]] as const;
      });
      const n = source.shape[0];
      const permutation = 'ot.plan' in golden.io ? assign(squaredDistances(stored(golden, 'x0'), stored(golden, 'x1'), n)) : [];
      return { ...Object.fromEntries(results), 'ot.assignment': permutation, 'ot.plan': permutation.flatMap((j) => Array.from({ length: n }, (_, k) => (k === j ? 1 / n : 0))) };
    }, () => toleranceOf(golden, 'forward', 2e-5));
  },
};

export const objectiveHandlers: readonly Handler[] = [consistency, lcm, shortcut, flowMatching];
