/** EDM2: operations, network with loss and sampler, post-hoc EMA. */
import { edm2Loss } from '../../src/losses/diffusion/edm.ts';
import { edm2 } from '../../src/models/edm2.ts';
import { mpCat, mpConv, mpFourier, mpLinear, mpSilu, mpSum, normalise, resample } from '../../src/models/magnitude.ts';
import { type Params, buildNetwork } from '../../src/models/network.ts';
import { gradientsOf } from '../../src/models/tape.ts';
import { exponentOf, inverseSqrtRate, posthocCoefficients, powerDecay, powerResponse, widthOf } from '../../src/schedules/emaProfiles.ts';
import { vePath } from '../../src/schedules/paths.ts';
import type { Churn } from '../../src/schedules/samplers/churn.ts';
import { heun } from '../../src/schedules/samplers/heun.ts';
import { sampler } from '../../src/schedules/samplers/sampler.ts';
import { appendZero, edmSigmas } from '../../src/schedules/sigmas.ts';
import * as tf from '../../src/tf.ts';
import { compareNetwork, paramsFrom } from './compare.ts';
import { type Golden, type Handler, tensorOf, toleranceOf } from './golden.ts';
import { compareAll, entry, from, image, nchw, stored } from './trainingSupport.ts';

const filterOf = (name: string): number[] => (name.endsWith('.1331') ? [1, 3, 3, 1] : [1, 1]);

const convolution = (golden: Golden, kind: string): Record<string, tf.Tensor> => {
  const key = (name: string): string => `mpconv.${kind}.${name}`;
  const before = tensorOf(golden, key('weight_before'));
  const [to, inputs, kernel] = before.shape as [number, number, number | undefined];
  const spatial = kernel !== undefined;
  const x = spatial ? image(golden, key('input')) : tensorOf(golden, key('input'));
  const net = buildNetwork('mpconv', {}, (scope) => (spatial ? mpConv(scope, { from: inputs, to, kernel }) : mpLinear(scope, { from: inputs, to })) as (params: Params, x: tf.Tensor, gain?: number) => tf.Tensor);
  const back = (y: tf.Tensor): tf.Tensor => (spatial ? nchw(y as tf.Tensor4D) : y);
  // Training first overwrites the weight with its normalised self.
  const after = normalise(before);
  const { grads, extra } = gradientsOf([after, x], () => {
    const y = back(net.apply({ weight: after }, x));
    return { loss: tf.sum(tf.mul(y, tensorOf(golden, key('grad_seed')))) as tf.Scalar, extra: y };
  });
  return {
    [key('eval')]: back(net.apply({ weight: before }, x)), [key('gain2_eval')]: back(net.apply({ weight: before }, x, 2)),
    [key('train')]: extra, [key('weight_after')]: after, [key('grad_weight')]: grads[0] as tf.Tensor, [key('grad_input')]: back(grads[1] as tf.Tensor),
  };
};

const operations: Handler = {
  kind: 'edm2 operations',
  matches: (golden) => from(golden, 'NVlabs/edm2', 'mp_silu'),
  run: (golden) => compareAll(golden, ['x', 'a', 'b', 'mpfourier.freqs', 'mpfourier.phases', 'mpfourier.input', ...Object.keys(golden.io).filter((name) => /^mpconv\..*\.(weight_before|input|grad_seed)$/.test(name))], () => {
    const [x, a, b] = [image(golden, 'x'), image(golden, 'a'), image(golden, 'b')];
    const t = Number(golden.manifest.config['t'] ?? 0.5);
    const names = Object.keys(golden.io);
    const resampled = names.filter((name) => name.startsWith('resample.')).map((name) => [name, nchw(resample(x, name.includes('.up') ? 'up' : 'down', filterOf(name)))] as const);
    const convolutions = [...new Set(names.filter((name) => name.startsWith('mpconv.')).map((name) => name.split('.')[1] as string))].map((kind) => convolution(golden, kind));
    const fourier = buildNetwork('mpfourier', {}, (scope) => mpFourier(scope, stored(golden, 'mpfourier.freqs').length));
    return {
      mp_silu: nchw(mpSilu(x)), 'mp_sum.default': nchw(mpSum(x, a)), 'mp_sum.t': nchw(mpSum(x, a, t)), 'mp_cat.default': nchw(mpCat(a, b)), 'mp_cat.t': nchw(mpCat(a, b, t)),
      normalize: nchw(normalise(x, [3])), 'normalize.all': nchw(normalise(x)), ...Object.fromEntries(resampled), ...Object.assign({}, ...convolutions) as Record<string, tf.Tensor>,
      'mpfourier.output': fourier.apply({ freqs: tensorOf(golden, 'mpfourier.freqs'), phases: tensorOf(golden, 'mpfourier.phases') }, tensorOf<tf.Rank.R1>(golden, 'mpfourier.input')),
    };
  }, (name) => toleranceOf(golden, name.includes('grad') ? 'gradient' : 'forward', 1e-4)),
};

type Sampling = Readonly<{ steps: number; sigmaMin: number; sigmaMax: number; churn: Churn }>;

/** Settings of the recorded sampling runs, which the manifest tells in words: `8 steps, sigma 0.01..20`, and with churn `S_churn 3, S_min 0.05, ...`. */
const samplingsOf = ({ manifest, io }: Golden): Readonly<Record<string, Sampling>> => {
  const told = [...String(manifest['what']).matchAll(/(\d+) steps, sigma ([\d.]+?)\.\.([\d.]+)((?:, S_\w+ [\d.]+)*)/g)].map(([, steps, low, high, rest]): Sampling => {
    const churn = Object.fromEntries([...(rest as string).matchAll(/S_(\w+) ([\d.]+)/g)].map(([, name, value]) => [name, Number(value)]));
    return { steps: Number(steps), sigmaMin: Number(low), sigmaMax: Number(high), churn: churn['churn'] === undefined ? {} : { sChurn: churn['churn'], sTmin: churn['min'] ?? 0, sTmax: churn['max'] ?? Infinity, sNoise: churn['noise'] ?? 1 } };
  });
  const names = Object.keys(io).filter((name) => /^sampler\.heun\d+(_churn)?$/.test(name)).map((name) => name.slice('sampler.'.length));
  return Object.fromEntries(names.map((name) => {
    const found = told.find(({ steps, churn }) => name === `heun${steps}${churn.sChurn === undefined ? '' : '_churn'}`);
    if (!found) throw new TypeError(`${manifest.name}: the manifest does not tell how sampler.${name} was run`);
    return [name, found];
  }));
};

const network: Handler = {
  kind: 'edm2 network',
  matches: (golden) => from(golden, 'NVlabs/edm2', 'Precond'),
  run: async (golden) => {
    const { loss: lossConfig, ...config } = golden.manifest.config as { loss?: { P_mean: number; P_std: number } };
    const net = edm2(config);
    const labelled = 'input.class_labels' in golden.io;
    const only = Object.fromEntries(Object.entries(golden.io).filter(([name]) => /^(input|output|grad|mid)[._]/.test(name) || name === 'grad_seed'));
    const network = await compareNetwork({ ...golden, io: only }, net, (params, { x, sigma, class_labels }) => ({ ...net.apply(params, x as tf.Tensor4D, sigma as tf.Tensor1D, class_labels as tf.Tensor2D | undefined) }));
    const limit = (name: string): number => toleranceOf(golden, name.startsWith('sampler') ? 'sampler' : name.includes('grad') ? 'gradient' : 'forward', 1e-4);
    const rest = { ...golden, io: Object.fromEntries(Object.entries(golden.io).filter(([name]) => !(name in only))) };
    const labels = (): tf.Tensor2D | undefined => (labelled ? tensorOf<tf.Rank.R2>(golden, 'input.class_labels') : undefined);
    const more = await compareAll(rest, ['loss.images', 'loss.sigma_draw', 'loss.noise_draw', 'loss.labels', 'sampler.noise', ...Object.keys(golden.io).filter((name) => name.endsWith('.draws'))], () => {
      const params = paramsFrom(golden.weights);
      const results: Record<string, tf.Tensor> = {};
      if ('loss.value' in golden.io && lossConfig) {
        const target = image(golden, 'loss.images');
        const sigma = tf.exp(tf.add(tf.mul(image(golden, 'loss.sigma_draw'), lossConfig.P_std), lossConfig.P_mean)) as tf.Tensor4D;
        const names = Object.keys(golden.io).filter((name) => name.startsWith('loss.mean_grad.'));
        const { grads, extra } = gradientsOf(names.map((name) => params[name.slice('loss.mean_grad.'.length)] as tf.Tensor), () => {
          const x = tf.add<tf.Tensor4D>(target, tf.mul(image(golden, 'loss.noise_draw'), sigma));
          const { denoised, logvar } = net.apply(params, x, tf.reshape(sigma, [-1]) as tf.Tensor1D, labels());
          const value = edm2Loss(denoised, target, sigma, logvar);
          return { loss: tf.mean(value) as tf.Scalar, extra: value };
        });
        Object.assign(results, { 'loss.value': nchw(extra), ...Object.fromEntries(names.map((name, i) => [name, grads[i] as tf.Tensor])) });
      }
      for (const [name, { steps, sigmaMin, sigmaMax, churn }] of Object.entries(samplingsOf(golden))) {
        const grid = appendZero(edmSigmas(steps, { sigmaMin, sigmaMax }));
        let drawn = 0;
        const run = sampler(heun(vePath, churn));
        const start = tf.mul<tf.Tensor4D>(image(golden, 'sampler.noise'), sigmaMax);
        results[`sampler.${name}`] = nchw(run((x, sigma) => net.apply(params, x, sigma, labels()).denoised, start, Array.from(grid), () => entry(golden, `sampler.${name}.draws`, drawn++)));
      }
      return results;
    }, limit);
    return [...network, ...more];
  },
};

const posthoc: Handler = {
  kind: 'edm2 post-hoc EMA',
  matches: (golden) => from(golden, 'NVlabs/edm2', 'std_to_exp'),
  run: (golden) => {
    const config = golden.manifest.config as { batch_size: number; stds: number[]; track: { stds: number[] }; lr: { ref_lr: number; ref_batches: number; rampup_Mimg: number; batch_size: number } };
    const at = (name: string): number[] => Array.from(stored(golden, name));
    return compareAll(golden, ['std', 'exp', 'beta.nimg', 'solve.in_*', 'solve.out_*', 'track.parameters', 'lr.nimg'], () => {
      const snapshots = at('solve.in_ofs').map((time, i) => ({ at: time, width: at('solve.in_std')[i] as number }));
      const solved = at('solve.out_ofs').map((time, i) => posthocCoefficients(snapshots, { at: time, width: at('solve.out_std')[i] as number }));
      const [updates, columns] = golden.io['track.parameters']?.shape as [number, number];
      const parameters = stored(golden, 'track.parameters');
      const averages = config.track.stds.map(() => Array.from(parameters.slice(0, columns)));
      const tracked = Array.from({ length: updates - 1 }, (_, k) => config.track.stds.map((width, s) => {
        const beta = powerDecay(width, (k + 1) * config.batch_size, config.batch_size);
        return averages[s] = (averages[s] as number[]).map((value, j) => beta * value + (1 - beta) * (parameters[(k + 1) * columns + j] as number));
      }));
      const shape = /power_function_response\((\d+), std\[(\d+)\], (\d+)\)/.exec(String(golden.manifest.source?.['function']));
      const [time, which, length] = (shape?.slice(1) ?? ['50', '1', String(stored(golden, 'response').length)]).map(Number) as [number, number, number];
      return {
        std_to_exp: at('std').map(exponentOf), exp_to_std: at('exp').map(widthOf),
        beta: at('std').flatMap((width) => at('beta.nimg').map((images) => powerDecay(width, images, config.batch_size))),
        'solve.coefficients': snapshots.flatMap((_, i) => solved.map((column) => column[i] as number)),
        response: powerResponse(time, at('std')[which] as number, length),
        'track.ema': tracked.flat(2),
        lr: at('lr.nimg').map((images) => inverseSqrtRate(images, { ref: config.lr.ref_lr, batch: config.lr.batch_size, refBatches: config.lr.ref_batches, rampUp: config.lr.rampup_Mimg * 1e6 })),
      };
    }, (name) => toleranceOf(golden, name === 'solve.coefficients' ? name : 'forward', 1e-5));
  },
};

export const edm2Handlers: readonly Handler[] = [operations, network, posthoc];
