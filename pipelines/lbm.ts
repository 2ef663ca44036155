/**
 * Latent bridge matching on one paired folder: a nearly noiseless bridge from the source, trained at a few fixed times, plus a loss on the estimate's pixels.
 * Run: node pipelines/lbm.ts [--data fixtures/splats] [--set sample.steps=4]
 * @source Chadebec et al. 2025, arXiv 2503.07535
 */
import { pipe } from 'rxjs';
import { z } from 'zod';
import { l1 } from '../src/losses/l1.ts';
import { weighted } from '../src/losses/objective.ts';
import { estimateOf, regress } from '../src/losses/regress.ts';
import { type Output, type Seen, answer, denoiser } from '../src/models/denoiser.ts';
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
import { lbm as lbmProcess } from '../src/schedules/processes/lbm.ts';
import { settle } from '../src/streams/settle.ts';

const schema = z.object({
  data: dataOptions({ root: 'fixtures/splats', size: 96, batch: 4 }),
  feed: feedOptions({ credits: 3, workers: 2, cache: '512MB' }),
  augment: augmentOptions({ shift: 0.05, rotate: 5, crop: 1, flip: 0.5, hue: 0, saturation: 0 }),
  lbm: z.object({
    noise: z.number().min(0).default(0.005).describe('scale of the Brownian bridge'),
    times: z.array(z.number().gt(0).max(1)).min(1).default([0.25, 0.5, 0.75, 1]).describe('trained times; 1 is the source'),
  }),
  loss: z.object({ pixel: z.number().min(0).default(1).describe('weight of the L1 error of the estimated target') }),
  latent: latentOptions(),
  network: denoiserOptions({ base: 16, multipliers: [1, 2, 4], depth: 1, attention: true, conditioned: false }),
  optim: optimOptions({ lr: 1e-3, beta1: 0.9, beta2: 0.999, weightDecay: 0, amsgrad: false, clip: 1, warmUp: 20, accumulate: 1 }),
  track: trackOptions({ halfLife: 400, logEvery: 10, sampleEvery: 100, validateEvery: 200, saveEvery: 100, keep: 3 }),
  sample: sampleOptions({ steps: 1, sweep: [1, 2, 4] }),
  steps: stepsOption(400),
  seed: seedOption(0),
});
type Config = z.output<typeof schema>;

const nets = (config: Config, given?: Readonly<Record<string, StateDict>>) => {
  const space = workingSpace(config.latent, given);
  return { denoiser: trainedNet(denoiser({ channels: space.codec.channels, ...config.network }), config, given), space };
};

export const lbm: Method<Config, ReturnType<typeof nets>> = {
  name: 'lbm',
  summary: 'latent bridge matching: a few fixed times on a nearly noiseless bridge from the source',
  schema,
  nets,
  files: ({ latent }) => latentFiles(latent),
  train: (config, run, resources) => {
    const gate = run.gate(config.feed.credits);
    const learn = pipe(
      encode(resources.space.codec),                                                             // + sourceLatent, targetLatent
      corrupt(lbmProcess(config.lbm), { key: seeded(run.seed) }),                              // + t, noisy, goal, weight
      backward(resources.denoiser, answer, weighted<Seen & Output>({                              // + output
        drift: [1, regress],
        pixel: [config.loss.pixel, (frame) => l1(estimateOf(frame), frame.targetLatent)],
      }), config.optim),
      ema(resources.denoiser, config.track),
    );
    return pairsOf(run, gate, config).pipe(gate.stage('engine', pipe(learn, settle())), observe(run, gate, config, resources, lbm.translate(resources, config)), gate.settle());
  },
  translate: ({ denoiser: net, space }, config) => translatorOf(space.codec, lbmProcess(config.lbm), () => applyNet(net, 'shadow'), config.sample.steps),
  multipleOf: ({ network, latent }) => 2 ** (network.multipliers.length - 1) * latentMultiple(latent),
};

if (import.meta.main) await runPipeline(lbm);
