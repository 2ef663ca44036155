/** k-diffusion's schedules and samplers, and the I2SB bridge. */
import { bridgeLabel, bridgePoint, bridgeTarget } from '../../src/losses/diffusion/bridges.ts';
import { schroedingerBridge, symmetricBetas } from '../../src/schedules/bridges.ts';
import { vePath } from '../../src/schedules/paths.ts';
import { i2sb } from '../../src/schedules/samplers/bridge.ts';
import { ancestralSplit } from '../../src/schedules/samplers/churn.ts';
import { dpm2, dpm2Ancestral } from '../../src/schedules/samplers/dpm2.ts';
import { dpmSolver } from '../../src/schedules/samplers/dpmSolver.ts';
import { dpmpp2sAncestral, dpmppSde } from '../../src/schedules/samplers/dpmppSde.ts';
import { euler } from '../../src/schedules/samplers/euler.ts';
import { eulerAncestral } from '../../src/schedules/samplers/eulerAncestral.ts';
import { heun } from '../../src/schedules/samplers/heun.ts';
import { lms } from '../../src/schedules/samplers/lms.ts';
import { type Denoise, type Plan, runRecipe, sampler } from '../../src/schedules/samplers/sampler.ts';
import { appendZero, exponentialSigmas, karrasSigmas, polyexponentialSigmas, vpSdeSigmas } from '../../src/schedules/sigmas.ts';
import { bridgeIndices } from '../../src/schedules/timesteps.ts';
import * as tf from '../../src/tf.ts';
import { type Golden, type Handler, toleranceOf } from './golden.ts';
import { compareAll, entry, from, image, nchw, stored } from './trainingSupport.ts';

const plans: Readonly<Record<string, Plan>> = {
  euler: euler(vePath), heun: heun(vePath), dpm_2: dpm2(vePath), lms: lms(vePath), dpmpp_2m: dpmSolver(vePath), euler_ancestral: eulerAncestral(vePath),
  dpm_2_ancestral: dpm2Ancestral(vePath), dpmpp_2s_ancestral: dpmpp2sAncestral(vePath), dpmpp_2m_sde: dpmSolver(vePath, { algorithm: 'sde-dpmsolver++' }),
  dpmpp_sde: dpmppSde(vePath), dpmpp_3m_sde: dpmSolver(vePath, { algorithm: 'sde-dpmsolver++', order: 3, solverType: 'heun' }),
};

/** The denoiser every k-diffusion golden is made with. */
const denoiser = (golden: Golden): Denoise => {
  const text = String(golden.manifest.config['denoiser']).replace(/\s/g, '');
  const found = /^D\(x,s\)=([\d.]+)\/\(s\^2\+\1\)\*x\+([\d.]+)\*s\/sqrt\(s\^2\+\1\)\*\((-?[\d.]+)\*x\/sqrt\(s\^2\+\1\)\+(-?[\d.]+)\*sin\(s\)\)$/.exec(text);
  if (!found) throw new TypeError(`${golden.manifest.name}: expected the known denoiser but received ${text}`);
  const [variance, data, slope, wave] = found.slice(1).map(Number) as [number, number, number, number];
  return (x, sigma) => {
    const s = tf.reshape(sigma, [-1, 1, 1, 1]) as tf.Tensor4D;
    const sum = tf.add(tf.square(s), variance);
    const raw = tf.add(tf.div(tf.mul(x, slope), tf.sqrt(sum)), tf.mul(tf.sin(s), wave));
    return tf.add(tf.mul(tf.div(variance, sum), x), tf.mul(tf.div(tf.mul(s, data), tf.sqrt(sum)), raw));
  };
};

const kDiffusion: Handler = {
  kind: 'k-diffusion',
  matches: (golden) => from(golden, 'crowsonkb/k-diffusion'),
  run: (golden) => {
    const { n, sigma_min: sigmaMin, sigma_max: sigmaMax, rho = 7 } = golden.manifest.config as { n: number; sigma_min: number; sigma_max: number; rho?: number };
    const range = { sigmaMin, sigmaMax };
    const names = Object.keys(golden.io);
    return compareAll(golden, ['x', ...names.filter((name) => name.endsWith('.noise'))], () => {
      const karras = appendZero(karrasSigmas(n, range, rho));
      const poly = names.find((name) => name.startsWith('sigmas.polyexponential_rho'));
      const schedules = {
        'sigmas.karras': karras, 'sigmas.exponential': appendZero(exponentialSigmas(n, range)), 'sigmas.vp': appendZero(vpSdeSigmas(n)),
        ...(poly && { [poly]: appendZero(polyexponentialSigmas(n, range, Number(poly.split('rho')[1]))) }),
      };
      const results = names.filter((name) => name.endsWith('.result')).flatMap((name) => {
        const kind = name.slice(0, -'.result'.length);
        const plan = plans[kind];
        let drawn = 0;
        return plan ? [[name, nchw(sampler(plan)(denoiser(golden), image(golden, 'x'), Array.from(karras), () => entry(golden, `${kind}.noise`, drawn++)))] as const] : [];
      });
      const splits = Array.from({ length: n }, (_, i) => ancestralSplit(karras[i] as number, karras[i + 1] as number)).flatMap(({ down, up }) => [down, up]);
      return { ...schedules, ...Object.fromEntries(results), ancestral_step: splits };
    });
  },
};

const bridge: Handler = {
  kind: 'I2SB',
  matches: (golden) => from(golden, 'NVlabs/I2SB'),
  run: (golden) => {
    const { interval, beta_max: betaMax, ot_ode: otOde, nfe, net: text } = golden.manifest.config as { interval: number; beta_max: number; ot_ode: boolean; nfe: number; net: string };
    const found = /^\s*(-?[\d.]+)\*x \+ (-?[\d.]+)\*sin\((-?[\d.]+)\*step\)/.exec(text);
    if (!found) throw new TypeError(`${golden.manifest.name}: expected a net a*x + b*sin(c*step) but received ${text}`);
    const [slope, wave, rate] = found.slice(1).map(Number) as [number, number, number];
    const tables = schroedingerBridge(symmetricBetas(interval, { betaMax }));
    const steps = bridgeIndices(nfe, interval);
    const clip = (x: tf.Tensor4D): tf.Tensor4D => tf.clipByValue(x, -1, 1);
    const denoise: Denoise = (x, t) => {
      const step = tf.reshape(t, [-1, 1, 1, 1]);
      // Calls are made at the grid's steps, so the deviation is looked up by position rather than by a tensor.
      return tf.add<tf.Tensor4D>(tf.mul(x, slope), tf.mul(tf.sin(tf.mul(step, rate)), wave));
    };
    const run = (mask: tf.Tensor4D | undefined): { xs: tf.Tensor; pred: tf.Tensor } => {
      const source = image(golden, 'q.x1');
      const recipe = i2sb(tables, { otOde })([...steps].reverse());
      const [xs, pred]: [tf.Tensor[], tf.Tensor[]] = [[], []];
      let drawn = 0;
      const draw = (): tf.Tensor4D => entry(golden, mask ? 'inpaint.noise' : 'sample.noise', drawn++);
      runRecipe(denoise, source, { ...recipe, steps: recipe.steps.map((step) => ({ ...step, denoised: { x: 1, output: -(tables.stdForward[step.level.t] as number) } })) }, {
        noise: draw, limit: clip,
        ...(mask && { after: (x: tf.Tensor4D, i: number) => {
          const to = [...steps].reverse()[i + 1] as number;
          const known = otOde ? source : tf.add<tf.Tensor4D>(source, tf.mul(draw(), tables.std[to] as number));
          return tf.add<tf.Tensor4D>(tf.mul(tf.sub(1, mask), known), tf.mul(mask, x));
        } }),
        observe: (_, seen) => {
          xs.unshift(tf.keep(nchw(seen.next)));
          pred.unshift(tf.keep(nchw(seen.denoised)));
        },
      });
      const stacked = { xs: tf.stack(xs, 1), pred: tf.stack(pred, 1) };
      tf.dispose([xs, pred]);
      return stacked;
    };
    return compareAll(golden, ['q.x0', 'q.x1', 'q.step', 'q.noise', 'q.net_out', 'sample.noise', 'inpaint.mask', 'inpaint.noise'], () => {
      const at = Array.from(stored(golden, 'q.step'));
      const x = bridgePoint(tables, image(golden, 'q.x0'), image(golden, 'q.x1'), at, otOde ? undefined : image(golden, 'q.noise'));
      const predicted = bridgeTarget(tables, x, image(golden, 'q.net_out'), at);
      const plain = run(undefined);
      const painted = run('inpaint.mask' in golden.io ? image(golden, 'inpaint.mask') : undefined);
      return {
        'table.betas': tables.betas, 'table.std_fwd': tables.stdForward, 'table.std_bwd': tables.stdBackward, 'table.std_sb': tables.std, 'table.mu_x0': tables.muX0, 'table.mu_x1': tables.muX1,
        'q.xt': nchw(x), 'q.label': nchw(bridgeLabel(tables, image(golden, 'q.x0'), x, at)), 'q.pred_x0': nchw(predicted), 'q.pred_x0_clipped': nchw(clip(predicted)),
        'sample.steps': steps, 'sample.xs': plain.xs, 'sample.pred_x0s': plain.pred, 'inpaint.xs': painted.xs,
      };
    }, () => toleranceOf(golden, 'forward', 5e-5));
  },
};

export const samplingHandlers: readonly Handler[] = [kDiffusion, bridge];
