/**
 * pix2pix-turbo on one paired folder: a one-step generator with near-zero skips, trained with L2, LPIPS, and a critic that sees past fakes beside new ones.
 * Run: node pipelines/turbo.ts [--data fixtures/splats] [--steps 400] [--watch] [--set loss.gan=0] [--set latent.autoencoder=runs/vae/latest]
 * @source Parmar et al. 2024, arXiv 2403.12036, at the scale of a few hundred pairs: every part but a latent space is trained from scratch
 */
import { pipe } from 'rxjs';
import { z } from 'zod';
import { smoothed } from '../src/losses/adversarial.ts';
import { mse } from '../src/losses/mse.ts';
import { weighted } from '../src/losses/objective.ts';
import { lpips } from '../src/models/lpips.ts';
import { type StateDict, applyNet, givenNet } from '../src/models/net.ts';
import { patchCritic } from '../src/models/patchCritic.ts';
import { replayBuffer } from '../src/models/replayBuffer.ts';
import { turboGenerator } from '../src/models/turbo.ts';
import { addNoise } from '../src/operators/addNoise.ts';
import { backward } from '../src/operators/backward.ts';
import { ema } from '../src/operators/ema.ts';
import { encode } from '../src/operators/encode.ts';
import { replay } from '../src/operators/replay.ts';
import { seeded } from '../src/random.ts';
import type { Method } from '../src/run/method.ts';
import { augmentOptions, dataOptions, feedOptions, optimOptions, seedOption, stepsOption, trackOptions } from '../src/run/options.ts';
import { runPipeline } from '../src/run/runPipeline.ts';
import { latentFiles, latentMultiple, latentOptions, workingSpace } from '../src/run/space.ts';
import { observe, pairsOf } from '../src/run/stages.ts';
import { trainedNet } from '../src/run/trained.ts';
import { settle } from '../src/streams/settle.ts';
import * as tf from '../src/tf.ts';

const schema = z.object({
  data: dataOptions({ root: 'fixtures/splats', size: 96, batch: 4 }),
  feed: feedOptions({ credits: 3, workers: 2, cache: '512MB' }),
  augment: augmentOptions({ shift: 0.05, rotate: 5, crop: 1, flip: 0.5, hue: 0, saturation: 0 }),
  latent: latentOptions(),
  generator: z.object({ base: z.int().default(16), multipliers: z.array(z.int()).default([1, 2, 4]), depth: z.int().default(1), gamma: z.number().min(0).max(1).default(1).describe('smallest share of the source in the noise mix; 1 is deterministic') }),
  critic: z.object({ base: z.int().default(24), layers: z.int().default(2), history: z.int().default(64).describe('past fakes that the critic is shown again') }),
  loss: z.object({ l2: z.number().default(1), lpips: z.number().default(5).describe('weight of the perceptual term, where its weights are given'), gan: z.number().default(0.002) }),
  lpips: z.object({ backbone: z.enum(['vgg', 'alex', 'squeeze']).default('vgg'), weights: z.array(z.string()).default([]).describe('weights files: torchvision trunk and LPIPS linear layers') }),
  optim: optimOptions({ lr: 1e-3, beta1: 0.9, beta2: 0.999, weightDecay: 0, amsgrad: false, clip: 1, warmUp: 20, accumulate: 1 }),
  track: trackOptions({ halfLife: 400, logEvery: 10, sampleEvery: 60, validateEvery: 150, saveEvery: 50, keep: 3 }),
  steps: stepsOption(300),
  seed: seedOption(0),
});
type Config = z.output<typeof schema>;
const nets = (config: Config, given?: Readonly<Record<string, StateDict>>) => {
  const [space, side] = [workingSpace(config.latent, given), config.data.size / latentMultiple(config.latent)];
  const generator = trainedNet(turboGenerator({ channels: space.codec.channels, groups: 8, skipInit: 1e-5, residual: true, ...config.generator }), config, given);
  const critic = trainedNet(patchCritic({ base: config.critic.base, layers: config.critic.layers, norm: 'group', channels: space.codec.channels }), config, given, { shadow: false });
  const history = replayBuffer({ capacity: config.critic.history, shapes: { fake: [side, side, space.codec.channels] } });
  return { generator, critic, history, space, ...(given?.['lpips'] && { perceptual: givenNet(lpips(config.lpips.backbone), given['lpips']) }) };
};

export const turbo: Method<Config, ReturnType<typeof nets>> = {
  name: 'turbo',
  summary: 'one-step generator with near-zero skips, L2 and a critic (pix2pix-turbo)',
  schema, nets,
  files: ({ lpips: { weights }, latent }, purpose) => ({ ...latentFiles(latent), ...(purpose === 'training' && { lpips: weights }) }),
  train: (config, run, resources) => {
    const [{ generator, critic, history, perceptual, space: { codec } }, { loss, optim: { clip } }] = [resources, config];
    const [key, gate, gan] = [seeded(run.seed), run.gate(config.feed.credits), smoothed({ real: 0.8 })];
    if (!perceptual) run.report.line('no LPIPS weights are given (lpips.weights): training without the perceptual term');
    const learn = pipe(
      encode(codec),                                                                     // + sourceLatent, targetLatent
      addNoise({ gamma: [config.generator.gamma, 1], key }),                              // + r, noisy
      backward(generator, (net, { noisy, r }) => ({ fake: net(noisy, r) }), weighted({    // + fake
        l2: [loss.l2, ({ fake, targetLatent }) => mse(fake, targetLatent)],
        ...(perceptual && { lpips: [loss.lpips, ({ fake, target }) => tf.mean(applyNet(perceptual.net)(codec.decode(fake), target).total)] }),
        gan: [loss.gan, ({ fake }) => gan.generator({ fakeLogits: applyNet(critic)(fake) })],
      }), { clip }),
      replay(history, ({ fake }) => ({ fake }), { key }),                                // + replayed: new fakes mixed with past ones
      backward(critic, (net, { targetLatent, replayed }) => ({ realLogits: net(targetLatent), fakeLogits: net(replayed.fake) }), weighted({ gan: [1, gan.critic] }), { clip }),
      ema(generator, config.track),
    );
    return pairsOf(run, gate, config).pipe(gate.stage('engine', pipe(learn, settle())), observe(run, gate, config, resources, turbo.translate(resources, config)), gate.settle());
  },
  translate: ({ generator, space: { codec } }) => (source) => codec.decode(applyNet(generator, 'shadow')(codec.encode(source), tf.ones([source.shape[0], 1, 1, 1]))),
  multipleOf: ({ generator, latent }) => 2 ** (generator.multipliers.length - 1) * latentMultiple(latent),
};
if (import.meta.main) await runPipeline(turbo);
