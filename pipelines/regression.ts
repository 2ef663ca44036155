/**
 * Plain regression on one paired folder: a UNet that answers the target at once. The baseline every method is compared with.
 * Run: node pipelines/regression.ts [--data fixtures/splats]
 * @source Isola et al. 2016, arXiv 1611.07004, section 4.2, its L1 generator; here with L1 or L2
 */
import { pipe } from 'rxjs';
import { z } from 'zod';
import { l1 } from '../src/losses/l1.ts';
import { weighted } from '../src/losses/objective.ts';
import { regress } from '../src/losses/regress.ts';
import { type Output, type Seen, answer, denoiser } from '../src/models/denoiser.ts';
import { type StateDict, applyNet } from '../src/models/net.ts';
import { translatorOf } from '../src/models/translateBy.ts';
import { backward } from '../src/operators/backward.ts';
import { corrupt } from '../src/operators/corrupt.ts';
import { ema } from '../src/operators/ema.ts';
import { encode } from '../src/operators/encode.ts';
import { seeded } from '../src/random.ts';
import type { Method } from '../src/run/method.ts';
import { augmentOptions, dataOptions, denoiserOptions, feedOptions, optimOptions, seedOption, stepsOption, trackOptions } from '../src/run/options.ts';
import { runPipeline } from '../src/run/runPipeline.ts';
import { latentFiles, latentMultiple, latentOptions, workingSpace } from '../src/run/space.ts';
import { observe, pairsOf } from '../src/run/stages.ts';
import { trainedNet } from '../src/run/trained.ts';
import { regression as regressionProcess } from '../src/schedules/processes/regression.ts';
import { settle } from '../src/streams/settle.ts';

const schema = z.object({
  data: dataOptions({ root: 'fixtures/splats', size: 96, batch: 4 }),
  feed: feedOptions({ credits: 3, workers: 2, cache: '512MB' }),
  augment: augmentOptions({ shift: 0.05, rotate: 5, crop: 1, flip: 0.5, hue: 0, saturation: 0 }),
  loss: z.object({ l1: z.number().min(0).default(1), l2: z.number().min(0).default(0) }),
  latent: latentOptions(),
  network: denoiserOptions({ base: 16, multipliers: [1, 2, 4], depth: 1, attention: true, conditioned: false }),
  optim: optimOptions({ lr: 1e-3, beta1: 0.9, beta2: 0.999, weightDecay: 0, amsgrad: false, clip: 1, warmUp: 20, accumulate: 1 }),
  track: trackOptions({ halfLife: 400, logEvery: 10, sampleEvery: 100, validateEvery: 200, saveEvery: 100, keep: 3 }),
  sample: z.object({ steps: z.int().min(1).default(1).describe('network calls per image; there is one') }),
  steps: stepsOption(400),
  seed: seedOption(0),
});
type Config = z.output<typeof schema>;

const nets = (config: Config, given?: Readonly<Record<string, StateDict>>) => {
  const space = workingSpace(config.latent, given);
  return { denoiser: trainedNet(denoiser({ channels: space.codec.channels, ...config.network }), config, given), space };
};

export const regression: Method<Config, ReturnType<typeof nets>> = {
  name: 'regression',
  summary: 'plain UNet regression, L1 or L2',
  schema,
  nets,
  files: ({ latent }) => latentFiles(latent),
  train: (config, run, resources) => {
    const gate = run.gate(config.feed.credits);
    const learn = pipe(
      encode(resources.space.codec),                                                             // + sourceLatent, targetLatent
      corrupt(regressionProcess(), { key: seeded(run.seed) }),                              // + t, noisy, goal, weight
      backward(resources.denoiser, answer, weighted<Seen & Output>({                              // + output
        l1: [config.loss.l1, ({ output, targetLatent }) => l1(output, targetLatent)],
        l2: [config.loss.l2, regress],
      }), config.optim),
      ema(resources.denoiser, config.track),
    );
    return pairsOf(run, gate, config).pipe(gate.stage('engine', pipe(learn, settle())), observe(run, gate, config, resources, regression.translate(resources, config)), gate.settle());
  },
  translate: ({ denoiser: net, space }, config) => translatorOf(space.codec, regressionProcess(), () => applyNet(net, 'shadow'), config.sample.steps),
  multipleOf: ({ network, latent }) => 2 ** (network.multipliers.length - 1) * latentMultiple(latent),
};

if (import.meta.main) await runPipeline(regression);
