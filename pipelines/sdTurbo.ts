/**
 * pix2pix-turbo on SD-Turbo: the released one-step UNet between the halves of its autoencoder, adapted by low-rank matrices and near-zero skips; as published.
 * Run: node pipelines/sdTurbo.ts --init models/sd-turbo --data my-pairs --set clip.folder=models/clip-vit-base-patch32 [--set generator.caption="a photo"]
 * @source Parmar et al. 2024, arXiv 2403.12036, the settings for pairs
 */
import { pipe } from 'rxjs';
import { z } from 'zod';
import { promptsOf } from '../src/data/dataset.ts';
import { mse } from '../src/losses/mse.ts';
import { weighted } from '../src/losses/objective.ts';
import { lpips } from '../src/models/lpips.ts';
import { type StateDict, applyNet, givenNet } from '../src/models/net.ts';
import { backward } from '../src/operators/backward.ts';
import { drawNoise } from '../src/operators/drawNoise.ts';
import { ema } from '../src/operators/ema.ts';
import { embedPrompts } from '../src/operators/embedPrompts.ts';
import { fold, seeded } from '../src/random.ts';
import type { Method } from '../src/run/method.ts';
import { augmentOptions, dataOptions, feedOptions, optimOptions, seedOption, stepsOption, trackOptions } from '../src/run/options.ts';
import { runPipeline } from '../src/run/runPipeline.ts';
import { generate, releasedOptions, sdTurboFiles, sdTurboGenerator, sdTurboMultiple, sdTurboOptions, sdTurboWords, translateSdTurbo } from '../src/run/sdTurbo.ts';
import { clipEyes, clipFiles, judgeOf, sdTurboCritic, smoothedOverHeads } from '../src/run/sdTurboCritic.ts';
import { observe, pairsOf } from '../src/run/stages.ts';
import type { Pair, Prompted } from '../src/streams/frames.ts';
import { settle } from '../src/streams/settle.ts';
import * as tf from '../src/tf.ts';

const schema = z.object({
  released: releasedOptions(),
  data: dataOptions({ root: 'fixtures/splats', size: 512, batch: 4 }),
  feed: feedOptions({ credits: 3, workers: 2, cache: '512MB' }),
  augment: augmentOptions({ shift: 0, rotate: 0, crop: 1, flip: 0, hue: 0, saturation: 0 }),
  generator: sdTurboOptions({ rankUnet: 8, rankVae: 4, timestep: 999, gamma: 1, sourceRange: 'unit', posterior: 'sample' }),
  loss: z.object({ l2: z.number().default(1), lpips: z.number().default(5), clip: z.number().default(5).describe('weight of how ill the output fits the caption'), gan: z.number().default(0.5) }),
  lpips: z.object({ backbone: z.enum(['vgg', 'alex', 'squeeze']).default('vgg'), weights: z.array(z.string()).default([]).describe('weights files: torchvision trunk and LPIPS linear layers') }),
  clip: z.object({ folder: z.string().default('').describe('CLIP ViT-B/32 as transformers writes it; for the critic and the term of that name') }),
  critic: z.object({ augment: z.string().default('color,translation,cutout'), base: z.int().default(64).describe('width of the critic of pixels, without CLIP'), layers: z.int().default(3) }),
  optim: optimOptions({ lr: 5e-6, beta1: 0.9, beta2: 0.999, weightDecay: 0.01, amsgrad: false, clip: 1, warmUp: 0, accumulate: 1 }),
  track: trackOptions({ halfLife: 1e-3, logEvery: 10, sampleEvery: 100, validateEvery: 100, saveEvery: 500, keep: 3 }),
  steps: stepsOption(10_000),
  seed: seedOption(0),
});
type Config = z.output<typeof schema>;
const nets = (config: Config, given: Readonly<Record<string, StateDict>> = {}) => {
  const [words, eyes] = [given['text'] && sdTurboWords(config, given['text']), given['clip'] && clipEyes(config, given['clip'])];
  const perceptual = given['lpips'] && givenNet(lpips(config.lpips.backbone), given['lpips']);
  return { generator: sdTurboGenerator(config, given), critic: sdTurboCritic(config, given, eyes), ...(words && { words }), ...(eyes && { eyes }), ...(perceptual && { perceptual }) };
};

export const sdTurbo: Method<Config, ReturnType<typeof nets>> = {
  name: 'sdTurbo',
  summary: 'SD-Turbo adapted to pairs by low-rank matrices and skips (pix2pix-turbo, full scale)',
  schema,
  nets,
  files: async (config, purpose) => ({ ...await sdTurboFiles(config), ...await clipFiles(config), ...(purpose === 'training' && { lpips: config.lpips.weights }) }),
  train: (config, run, resources) => {
    const [{ generator, critic, words, eyes, perceptual }, { loss, optim, generator: { gamma, caption } }] = [resources, config];
    const [key, gate, gan] = [seeded(run.seed), run.gate(config.feed.credits), smoothedOverHeads({ real: 0.8 })];
    for (const text of [...generator.origins, ...(perceptual ? [] : ['no lpips.weights: training without LPIPS']), ...(eyes ? [] : ['no clip.folder: a critic of pixels, and no CLIP term'])]) run.report.line(text);
    const learn = pipe(
      embedPrompts<Pair & Prompted>(words?.embed),                                                       // + text
      drawNoise(generator.space, { gamma: [gamma, 1], key: fold(key, 'pair') }),                        // + r, noise, eps
      backward(generator, generate, weighted({                                                           // + fake
        l2: [loss.l2, ({ fake, target }) => mse(fake, target)],
        ...(perceptual && { lpips: [loss.lpips, ({ fake, target }) => tf.mean(applyNet(perceptual.net)(fake, target).total)] }),
        ...(eyes && (caption !== '' || promptsOf(run.dataset.train) > 0) && { clip: [loss.clip, ({ fake, prompts }) => tf.sub(1, tf.div(tf.mean(eyes.fit(fake, prompts)), 100))] }),
      }), optim),
      drawNoise(generator.space, { gamma: [gamma, 1], key: fold(key, 'critic') }),
      backward({ ...generator, name: 'generator.gan' }, generate, weighted({ fooled: [loss.gan, ({ fake, step }) => gan.fooled(judgeOf(critic)(critic.look(fake, fold(key, 'fooled', step))))] }), optim),
      backward({ ...critic, name: 'critic.real' }, (net, { target, step }) => ({ logits: net(critic.look(target, fold(key, 'real', step))) }), weighted({ bce: [loss.gan, ({ logits }) => gan.real(logits)] }), optim),
      backward({ ...critic, name: 'critic.fake' }, (net, { fake, step }) => ({ logits: net(critic.look(fake, fold(key, 'fake', step))) }), weighted({ bce: [loss.gan, ({ logits }) => gan.fake(logits)] }), optim),
      ema(generator, config.track),
    );
    return pairsOf(run, gate, config).pipe(gate.stage('engine', pipe(learn, settle())), observe(run, gate, config, resources, sdTurbo.translate(resources, config)), gate.settle());
  },
  translate: ({ generator, words }, config) => translateSdTurbo(generator, config, words?.embed),
  multipleOf: sdTurboMultiple,
};
if (import.meta.main) await runPipeline(sdTurbo);
