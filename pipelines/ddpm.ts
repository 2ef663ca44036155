/**
 * Denoising diffusion of the target, with the source beside it, on one paired folder; Min-SNR weights and DREAM are operators to switch in.
 * Run: node pipelines/ddpm.ts [--data fixtures/splats] [--set ddpm.prediction=v_prediction] [--set weighting=minSnr] [--set dream=1]
 * @source Ho et al. 2020, arXiv 2006.11239; Salimans and Ho 2022, arXiv 2202.00512 (v); Hang et al. 2023, arXiv 2303.09556; Zhou et al. 2024, arXiv 2312.00210
 */
import { identity as asItIs, pipe } from 'rxjs';
import { z } from 'zod';
import { weighted } from '../src/losses/objective.ts';
import { regress } from '../src/losses/regress.ts';
import { answer, denoiser } from '../src/models/denoiser.ts';
import { type StateDict, applyNet } from '../src/models/net.ts';
import { translatorOf } from '../src/models/translateBy.ts';
import { backward } from '../src/operators/backward.ts';
import { corrupt } from '../src/operators/corrupt.ts';
import { dream } from '../src/operators/dream.ts';
import { ema } from '../src/operators/ema.ts';
import { encode } from '../src/operators/encode.ts';
import { minSnr } from '../src/operators/minSnr.ts';
import { seeded } from '../src/random.ts';
import type { Method } from '../src/run/method.ts';
import { augmentOptions, dataOptions, denoiserOptions, feedOptions, optimOptions, sampleOptions, seedOption, stepsOption, trackOptions } from '../src/run/options.ts';
import { runPipeline } from '../src/run/runPipeline.ts';
import { latentFiles, latentMultiple, latentOptions, workingSpace } from '../src/run/space.ts';
import { observe, pairsOf } from '../src/run/stages.ts';
import { trainedNet } from '../src/run/trained.ts';
import { ddpm as ddpmProcess } from '../src/schedules/processes/ddpm.ts';
import { settle } from '../src/streams/settle.ts';

const schema = z.object({
  data: dataOptions({ root: 'fixtures/splats', size: 96, batch: 4 }),
  feed: feedOptions({ credits: 3, workers: 2, cache: '512MB' }),
  augment: augmentOptions({ shift: 0.05, rotate: 5, crop: 1, flip: 0.5, hue: 0, saturation: 0 }),
  ddpm: z.object({
    schedule: z.enum(['linear', 'scaledLinear', 'cosine', 'zeroTerminalSnr']).default('cosine').describe('noise schedule'),
    steps: z.int().min(2).default(1000).describe('steps of the schedule'),
    prediction: z.enum(['epsilon', 'sample', 'v_prediction']).default('sample').describe('what the network answers; in a few hundred steps only the target itself (sample) is learnt well'),
    sampler: z.enum(['ddim', 'ddpm', 'dpmpp']).default('ddim'),
  }),
  weighting: z.enum(['none', 'minSnr']).default('none').describe('weight of each image by its noise'),
  dream: z.number().min(-1).default(-1).describe('power of DREAM; -1 leaves it out'),
  latent: latentOptions(),
  network: denoiserOptions({ base: 16, multipliers: [1, 2, 4], depth: 1, attention: true, conditioned: true }),
  optim: optimOptions({ lr: 1e-3, beta1: 0.9, beta2: 0.999, weightDecay: 0, amsgrad: false, clip: 1, warmUp: 20, accumulate: 1 }),
  track: trackOptions({ halfLife: 400, logEvery: 10, sampleEvery: 100, validateEvery: 200, saveEvery: 100, keep: 3 }),
  sample: sampleOptions({ steps: 4 }),
  steps: stepsOption(400),
  seed: seedOption(0),
});
type Config = z.output<typeof schema>;

const nets = (config: Config, given?: Readonly<Record<string, StateDict>>) => {
  const space = workingSpace(config.latent, given);
  return { denoiser: trainedNet(denoiser({ channels: space.codec.channels, ...config.network }), config, given), space };
};

export const ddpm: Method<Config, ReturnType<typeof nets>> = {
  name: 'ddpm',
  summary: 'denoising diffusion conditioned on the source (DDPM), with Min-SNR and DREAM to switch in',
  schema,
  nets,
  files: ({ latent }) => latentFiles(latent),
  train: (config, run, resources) => {
    const gate = run.gate(config.feed.credits);
    const learn = pipe(
      encode(resources.space.codec),                                                             // + sourceLatent, targetLatent
      corrupt(ddpmProcess(config.ddpm), { key: seeded(run.seed) }),                              // + t, noisy, goal, weight
      config.weighting === 'minSnr' ? minSnr() : asItIs,                                         // weight: min(SNR, 5)
      config.dream >= 0 ? dream(resources.denoiser, answer, { power: config.dream }) : asItIs,   // noisy, goal: as sampling will meet them
      backward(resources.denoiser, answer, weighted({ noise: [1, regress] }), config.optim),  // + output
      ema(resources.denoiser, config.track),
    );
    return pairsOf(run, gate, config).pipe(gate.stage('engine', pipe(learn, settle())), observe(run, gate, config, resources, ddpm.translate(resources, config)), gate.settle());
  },
  translate: ({ denoiser: net, space }, config) => translatorOf(space.codec, ddpmProcess(config.ddpm), () => applyNet(net, 'shadow'), config.sample.steps),
  multipleOf: ({ network, latent }) => 2 ** (network.multipliers.length - 1) * latentMultiple(latent),
};

if (import.meta.main) await runPipeline(ddpm);
