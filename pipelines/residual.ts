/**
 * Residual shifting on one paired folder: a few steps from the noised source to the target (ResShift), or RDDM's long, gentle ones.
 * Run: node pipelines/residual.ts [--data fixtures/splats] [--set residual.variant=rddm --set residual.steps=1000]
 * @source Yue et al. 2023 (ResShift), arXiv 2307.12348; Liu et al. 2024 (RDDM), arXiv 2308.13712
 */
import { pipe } from 'rxjs';
import { z } from 'zod';
import { weighted } from '../src/losses/objective.ts';
import { regress } from '../src/losses/regress.ts';
import { answer, denoiser } from '../src/models/denoiser.ts';
import { type StateDict, applyNet } from '../src/models/net.ts';
import { translatorOf } from '../src/models/translateBy.ts';
import { backward } from '../src/operators/backward.ts';
import { corrupt } from '../src/operators/corrupt.ts';
import { ema } from '../src/operators/ema.ts';
import { encode } from '../src/operators/encode.ts';
import { seeded } from '../src/random.ts';
import type { Method } from '../src/run/method.ts';
import { augmentOptions, dataOptions, denoiserOptions, feedOptions, optimOptions, sampleOptions, seedOption, stepsOption, trackOptions } from '../src/run/options.ts';
import { runPipeline } from '../src/run/runPipeline.ts';
import { latentFiles, latentMultiple, latentOptions, workingSpace } from '../src/run/space.ts';
import { observe, pairsOf } from '../src/run/stages.ts';
import { trainedNet } from '../src/run/trained.ts';
import { rddm, resShift } from '../src/schedules/processes/residual.ts';
import { settle } from '../src/streams/settle.ts';

const schema = z.object({
  data: dataOptions({ root: 'fixtures/splats', size: 96, batch: 4 }),
  feed: feedOptions({ credits: 3, workers: 2, cache: '512MB' }),
  augment: augmentOptions({ shift: 0.05, rotate: 5, crop: 1, flip: 0.5, hue: 0, saturation: 0 }),
  residual: z.object({
    variant: z.enum(['resShift', 'rddm']).default('resShift'),
    steps: z.int().min(2).default(4).describe('steps of the process; ResShift samples with all of them'),
    kappa: z.number().positive().default(1).describe('noise of ResShift'),
    sumScale: z.number().positive().default(0.01).describe('noise variance of RDDM at the source'),
  }),
  latent: latentOptions(),
  network: denoiserOptions({ base: 16, multipliers: [1, 2, 4], depth: 1, attention: true, conditioned: true }),
  optim: optimOptions({ lr: 1e-3, beta1: 0.9, beta2: 0.999, weightDecay: 0, amsgrad: false, clip: 1, warmUp: 20, accumulate: 1 }),
  track: trackOptions({ halfLife: 400, logEvery: 10, sampleEvery: 100, validateEvery: 200, saveEvery: 100, keep: 3 }),
  sample: sampleOptions({ steps: 4 }),
  steps: stepsOption(400),
  seed: seedOption(0),
});
type Config = z.output<typeof schema>;

const processOf = ({ residual: { variant, steps, kappa, sumScale } }: Config) => (variant === 'rddm' ? rddm({ steps, sumScale }) : resShift({ steps, kappa }));

const nets = (config: Config, given?: Readonly<Record<string, StateDict>>) => {
  const space = workingSpace(config.latent, given);
  return { denoiser: trainedNet(denoiser({ channels: space.codec.channels, ...config.network }), config, given), space };
};

export const residual: Method<Config, ReturnType<typeof nets>> = {
  name: 'residual',
  summary: 'residual shifting from the noised source (ResShift, or RDDM)',
  schema,
  nets,
  files: ({ latent }) => latentFiles(latent),
  train: (config, run, resources) => {
    const gate = run.gate(config.feed.credits);
    const learn = pipe(
      encode(resources.space.codec),                                                             // + sourceLatent, targetLatent
      corrupt(processOf(config), { key: seeded(run.seed) }),                              // + t, noisy, goal, weight
      backward(resources.denoiser, answer, weighted({ x0: [1, regress] }), config.optim),  // + output
      ema(resources.denoiser, config.track),
    );
    return pairsOf(run, gate, config).pipe(gate.stage('engine', pipe(learn, settle())), observe(run, gate, config, resources, residual.translate(resources, config)), gate.settle());
  },
  translate: ({ denoiser: net, space }, config) => translatorOf(space.codec, processOf(config), () => applyNet(net, 'shadow'), config.sample.steps),
  multipleOf: ({ network, latent }) => 2 ** (network.multipliers.length - 1) * latentMultiple(latent),
};

if (import.meta.main) await runPipeline(residual);
