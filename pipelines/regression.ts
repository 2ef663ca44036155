/**
 * Plain regression on one paired folder: a UNet that answers the target at once. The baseline every method is compared with; with a critic, it is pix2pix.
 * Run: node pipelines/regression.ts [--data fixtures/splats] [--set loss.l1=100 --set loss.gan=1 for pix2pix]
 * @source Isola et al. 2016, arXiv 1611.07004, eq. 4, without its dropout noise; the UNet is the one that all methods here share
 */
import { identity as asItIs, pipe } from 'rxjs';
import { z } from 'zod';
import { nonSaturating } from '../src/losses/adversarial.ts';
import { l1 } from '../src/losses/l1.ts';
import { weighted } from '../src/losses/objective.ts';
import { regress } from '../src/losses/regress.ts';
import { type Output, type Seen, answer, denoiser } from '../src/models/denoiser.ts';
import { type StateDict, applyNet } from '../src/models/net.ts';
import { patchCritic } from '../src/models/patchCritic.ts';
import { translatorOf } from '../src/models/translateBy.ts';
import { adversary } from '../src/operators/adversary.ts';
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
import { regression as regressionProcess } from '../src/schedules/processes/regression.ts';
import { settle } from '../src/streams/settle.ts';

const schema = z.object({
  data: dataOptions({ root: 'fixtures/splats', size: 96, batch: 4 }),
  feed: feedOptions({ credits: 3, workers: 2, cache: '512MB' }),
  augment: augmentOptions({ shift: 0.05, rotate: 5, crop: 1, flip: 0.5, hue: 0, saturation: 0 }),
  loss: z.object({ l1: z.number().min(0).default(1), l2: z.number().min(0).default(0), gan: z.number().min(0).default(0).describe('weight of the critic; 1 beside an l1 of 100 in pix2pix') }),
  critic: z.object({ base: z.int().min(1).default(24), layers: z.int().min(1).default(2).describe('convolutions of stride 2: 1, 2, 3 see patches of 16, 34, 70 px') }),
  latent: latentOptions(),
  network: denoiserOptions({ base: 16, multipliers: [1, 2, 4], depth: 1, attention: true, conditioned: false }),
  optim: optimOptions({ lr: 1e-3, beta1: 0.9, beta2: 0.999, weightDecay: 0, amsgrad: false, clip: 1, warmUp: 20, accumulate: 1 }),
  track: trackOptions({ halfLife: 400, logEvery: 10, sampleEvery: 100, validateEvery: 200, saveEvery: 100, keep: 3 }),
  sample: sampleOptions({ steps: 1, sweep: [] }),
  steps: stepsOption(400),
  seed: seedOption(0),
});
type Config = z.output<typeof schema>;

const nets = (config: Config, given?: Readonly<Record<string, StateDict>>) => {
  const space = workingSpace(config.latent, given);
  return {
    denoiser: trainedNet(denoiser({ channels: space.codec.channels, ...config.network }), config, given), space,
    ...(config.loss.gan > 0 && { critic: trainedNet(patchCritic({ channels: space.codec.channels, conditionChannels: space.codec.channels, norm: 'group', ...config.critic }), config, given, { shadow: false }) }),
  };
};

export const regression: Method<Config, ReturnType<typeof nets>> = {
  name: 'regression',
  summary: 'plain UNet regression, L1 or L2; with loss.gan, pix2pix',
  schema,
  nets,
  files: ({ latent }) => latentFiles(latent),
  train: (config, run, resources) => {
    const [gate, key, { critic }, { clip }] = [run.gate(config.feed.credits), seeded(run.seed), resources, config.optim];
    const learn = pipe(
      encode(resources.space.codec),                                                             // + sourceLatent, targetLatent
      corrupt(regressionProcess(), { key }),                                                     // + t, noisy, goal, weight
      backward(resources.denoiser, answer, weighted<Seen & Output>({                              // + output
        l1: [config.loss.l1, ({ output, targetLatent }) => l1(output, targetLatent)], l2: [config.loss.l2, regress],
        ...(critic && { gan: [config.loss.gan, ({ output, sourceLatent }) => nonSaturating.generator({ fakeLogits: applyNet(critic)(output, sourceLatent) })] }),
      }), { clip }),
      critic ? adversary(critic, ({ targetLatent: real, output: fake, sourceLatent }: Seen & Output) => ({ real, fake, realCondition: sourceLatent, fakeCondition: sourceLatent }),
        { loss: nonSaturating, weight: 0.5, clip, key }) : asItIs,
      ema(resources.denoiser, config.track),
    );
    return pairsOf(run, gate, config).pipe(gate.stage('engine', pipe(learn, settle())), observe(run, gate, config, resources, regression.translate(resources, config)), gate.settle());
  },
  translate: ({ denoiser: net, space }, config) => translatorOf(space.codec, regressionProcess(), () => applyNet(net, 'shadow'), config.sample.steps),
  multipleOf: ({ network, latent }) => 2 ** (network.multipliers.length - 1) * latentMultiple(latent),
};

if (import.meta.main) await runPipeline(regression);
