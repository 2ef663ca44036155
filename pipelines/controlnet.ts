/**
 * ControlNet on one paired folder: a diffusion model of the targets alone, then, with that frozen, a trainable copy of its way down that is shown the source.
 * Run: node pipelines/controlnet.ts [--data fixtures/splats] [--set controlnet.smooth=target --set controlnet.again=0.2] [--init <base> --set controlnet.base=0]
 * @source Zhang et al. 2023, arXiv 2302.05543, section 3. The smoothing loop (pairs made of smoothed targets, regenerated, smoothed again) is this project's
 */
import { type Observable, identity as asItIs, pipe } from 'rxjs';
import { z } from 'zod';
import { weighted } from '../src/losses/objective.ts';
import { regress } from '../src/losses/regress.ts';
import { answerUnder, controlDenoiser, controlledBy, hasControl } from '../src/models/controlDenoiser.ts';
import { answer, denoiser } from '../src/models/denoiser.ts';
import { gaussianBlur } from '../src/models/gaussianBlur.ts';
import { type StateDict, applyNet } from '../src/models/net.ts';
import { translatorOf } from '../src/models/translateBy.ts';
import { backward } from '../src/operators/backward.ts';
import { corrupt } from '../src/operators/corrupt.ts';
import { ema } from '../src/operators/ema.ts';
import { encode } from '../src/operators/encode.ts';
import { inherit } from '../src/operators/inherit.ts';
import { regenerate } from '../src/operators/regenerate.ts';
import { smooth } from '../src/operators/smooth.ts';
import { seeded } from '../src/random.ts';
import type { Method } from '../src/run/method.ts';
import { augmentOptions, dataOptions, denoiserOptions, feedOptions, optimOptions, sampleOptions, seedOption, stepsOption, trackOptions } from '../src/run/options.ts';
import { runPipeline } from '../src/run/runPipeline.ts';
import { latentFiles, latentMultiple, latentOptions, workingSpace } from '../src/run/space.ts';
import { observe, pairsOf } from '../src/run/stages.ts';
import { trainedNet } from '../src/run/trained.ts';
import { ddpm } from '../src/schedules/processes/ddpm.ts';
import type { Batch, Measured, Pair } from '../src/streams/frames.ts';
import { phases } from '../src/streams/phases.ts';
import { settle } from '../src/streams/settle.ts';

const schema = z.object({
  data: dataOptions({ root: 'fixtures/splats', size: 96, batch: 4 }),
  feed: feedOptions({ credits: 3, workers: 2, cache: '512MB' }),
  augment: augmentOptions({ shift: 0.05, rotate: 5, crop: 1, flip: 0.5, hue: 0, saturation: 0 }),
  controlnet: z.object({
    base: z.number().min(0).max(1).default(0.2).describe('share of the steps that trains the base; 0 where --init gives one'),
    smooth: z.enum(['off', 'source', 'target']).default('off').describe('train on smoothed copies of this image in place of sources'),
    low: z.number().positive().default(1).describe('their least blur, in pixels'), high: z.number().positive().default(3).describe('and their most'), again: z.number().min(0).max(1).default(0).describe('share of the steps, the last ones, that smooths regenerated copies again'),
  }),
  ddpm: z.object({ schedule: z.enum(['linear', 'scaledLinear', 'cosine']).default('cosine'), prediction: z.enum(['epsilon', 'sample', 'v_prediction']).default('sample').describe('what the network answers') }),
  latent: latentOptions(),
  network: denoiserOptions({ base: 16, multipliers: [1, 2, 4], depth: 1, attention: true, conditioned: false }).omit({ conditioned: true }),
  optim: optimOptions({ lr: 1e-3, beta1: 0.9, beta2: 0.999, weightDecay: 0, amsgrad: false, clip: 1, warmUp: 20, accumulate: 1 }),
  track: trackOptions({ halfLife: 400, logEvery: 10, sampleEvery: 100, validateEvery: 200, saveEvery: 100, keep: 3 }),
  sample: sampleOptions({ steps: 4 }),
  steps: stepsOption(600), seed: seedOption(0),
});
type Config = z.output<typeof schema>;

const nets = (config: Config, given?: Readonly<Record<string, StateDict>>) => {
  const [space, begin] = [workingSpace(config.latent, given), Math.round(config.steps * config.controlnet.base)];
  const [size, rates] = [{ ...config.network, channels: space.codec.channels, conditioned: false }, { phases: [begin, config.steps - begin] }];
  return { denoiser: trainedNet(denoiser(size), config, given, rates), control: trainedNet(controlDenoiser(size), config, given, rates), space };
};

export const controlnet: Method<Config, ReturnType<typeof nets>> = {
  name: 'controlnet', summary: 'a trainable copy on a frozen diffusion model of the targets (ControlNet), with a smoothing loop', schema, nets, files: ({ latent }) => latentFiles(latent),
  train: (config, run, resources) => {
    const [{ denoiser: base, control, space: { codec } }, { smooth: of, low, high, base: share, again }] = [resources, config.controlnet];
    const [key, gate, begin, translate] = [seeded(run.seed), run.gate(config.feed.credits), Math.round(run.steps * share), controlnet.translate(resources, config)];
    const prepare = pipe(encode<Pair>(codec), corrupt(ddpm(config.ddpm), { key }));             // + sourceLatent, targetLatent, t, noisy, goal, weight
    const steer = pipe(prepare, inherit(base, control, { at: begin, unless: hasControl }),      // the copy begins as what it is a copy of
      backward(control, answerUnder(base), weighted({ noise: [1, regress] }), config.optim), ema(control, config.track));
    const learn = phases<Pair, Batch & Measured>(
      { from: 0, run: pipe(prepare, backward(base, answer, weighted({ noise: [1, regress] }), config.optim), ema(base, config.track)) },
      { from: begin, run: pipe(of === 'off' ? asItIs<Observable<Pair>> : smooth<Pair>({ of, sigma: [low, high], key }), steer) },  // source: a smoothed copy
      ...(of === 'off' ? [] : [{ from: Math.max(begin, Math.round(run.steps * (1 - again))), run: pipe(regenerate<Pair>(translate, { of, key }), smooth({ of: 'source', sigma: [low, high], key }), steer) }]),
    );
    return pairsOf(run, gate, config).pipe(gate.stage('engine', pipe(learn, settle())), observe(run, gate, config, resources, translate), gate.settle());
  },
  translate: ({ denoiser: base, control, space: { codec } }, { controlnet: { smooth: of, low, high }, ...config }) => translatorOf(
    of === 'off' ? codec : { ...codec, encode: (image) => codec.encode(gaussianBlur(image, (low + high) / 2)) }, ddpm(config.ddpm),
    () => controlledBy(applyNet(base, 'shadow'), applyNet(control, 'shadow')), config.sample.steps),
  multipleOf: ({ network, latent }) => 2 ** (network.multipliers.length - 1) * latentMultiple(latent),
};
if (import.meta.main) await runPipeline(controlnet);
