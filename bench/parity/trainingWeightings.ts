/** Loss weightings, timestep densities, EMA warm-up. */
import { squaredError, weightedMean } from '../../src/losses/diffusion/levels.ts';
import { gradientsOf } from '../../src/models/tape.ts';
import { snrOf } from '../../src/schedules/betas.ts';
import { schedulerFrom } from '../../src/schedules/diffusers/scheduler.ts';
import { logitNormalTimes, modeTimes } from '../../src/schedules/draws.ts';
import { warmedDecay } from '../../src/schedules/emaProfiles.ts';
import type { Prediction } from '../../src/schedules/paths.ts';
import { flowWeight, minSnr } from '../../src/schedules/weightings.ts';
import * as tf from '../../src/tf.ts';
import { type Handler, toleranceOf } from './golden.ts';
import { compareAll, from, image, nchw, stored } from './trainingSupport.ts';

const minSnrHandler: Handler = {
  kind: 'Min-SNR',
  matches: (golden) => from(golden, 'huggingface/diffusers', 'compute_snr'),
  run: (golden) => {
    const { scheduler, gammas } = golden.manifest.config as { scheduler: Record<string, unknown>; gammas: number[] };
    const { schedule } = schedulerFrom('DDPMScheduler', scheduler);
    if (!schedule) throw new TypeError('DDPMScheduler: expected a schedule');
    const all = snrOf(schedule);
    const snr = Array.from(stored(golden, 'timesteps'), (t) => all[t] as number);
    return compareAll(golden, ['timesteps', 'loss.prediction', 'loss.target'], () => {
      const weights = Object.fromEntries(gammas.flatMap((gamma) => (['epsilon', 'v_prediction', 'sample'] as const).map((prediction: Prediction) => {
        const name = Object.keys(golden.io).find((key) => key.startsWith(`weight.${prediction}.gamma`) && Number(key.split('gamma')[1]) === gamma) ?? `weight.${prediction}.gamma${gamma}`;
        return [name, snr.map((value) => minSnr(value, prediction, gamma))];
      }))) as Record<string, number[]>;
      const weight = tf.tensor1d(snr.map((value) => minSnr(value, 'epsilon', gammas.at(-1) as number)));
      const prediction = image(golden, 'loss.prediction');
      const { loss, grads } = gradientsOf([prediction], () => ({ loss: weightedMean(squaredError(prediction, image(golden, 'loss.target')), weight), extra: {} }));
      return { snr, snr_all: all, ...weights, 'loss.value': loss, 'loss.grad_prediction': nchw(grads[0] as tf.Tensor4D) };
    }, (name) => toleranceOf(golden, name.includes('grad') ? 'gradient' : 'forward', 1e-4));
  },
};

const sd3: Handler = {
  kind: 'SD3 weightings and EMA warm-up',
  matches: (golden) => from(golden, 'huggingface/diffusers', 'compute_loss_weighting_for_sd3'),
  run: (golden) => {
    type Ema = { decay?: number; min_decay?: number; update_after_step?: number; use_ema_warmup?: boolean; inv_gamma?: number; power?: number };
    const { ema, density } = golden.manifest.config as { ema: Ema[]; density: { logit_mean: number; logit_std: number; mode_scale: number } };
    const sigmas = Array.from(stored(golden, 'sigmas'));
    return compareAll(golden, ['sigmas', 'ema.steps', 'density.logit_normal.normal_draw', 'density.mode.uniform_draw'], () => ({
      ...Object.fromEntries((['sigma_sqrt', 'cosmap', 'none'] as const).map((kind) => [`weight.${kind}`, sigmas.map((t) => flowWeight(kind, t))])),
      ...Object.fromEntries(ema.map(({ decay, min_decay, update_after_step, use_ema_warmup, inv_gamma, power }, i) => [`ema.decay.${i}`, Array.from(stored(golden, 'ema.steps'), (step) => warmedDecay(step, {
        ...(decay !== undefined && { decay }), ...(min_decay !== undefined && { min: min_decay }), ...(update_after_step !== undefined && { updateAfter: update_after_step }),
        ...(use_ema_warmup !== undefined && { warmup: use_ema_warmup }), ...(inv_gamma !== undefined && { invGamma: inv_gamma }), ...(power !== undefined && { power }),
      }))])),
      // The stored draws have mean and standard deviation applied already.
      'density.logit_normal': logitNormalTimes(stored(golden, 'density.logit_normal.normal_draw')),
      'density.mode': modeTimes(stored(golden, 'density.mode.uniform_draw'), { scale: density.mode_scale }),
    }));
  },
};

export const weightingHandlers: readonly Handler[] = [minSnrHandler, sd3];
