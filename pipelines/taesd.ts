/**
 * TAESD: a tiny student of any autoencoder. Its encoder learns the teacher's latents; its decoder is a conditional GAN on the images themselves, given those latents.
 * Run: node pipelines/taesd.ts [--data fixtures/splats] [--set recipe=v1.2] [--set gan.loss=seraena] [--set teacher.autoencoder=runs/vae/latest]
 * @source madebyollin/taesd and madebyollin/seraena, and their author's description of the training; docs/taesd.md
 */
import { type OperatorFunction, identity as asItIs, pipe } from 'rxjs';
import { z } from 'zod';
import { type Decoded, decoderObjective } from '../src/losses/imageTerms.ts';
import { mse } from '../src/losses/mse.ts';
import type { Term } from '../src/losses/objective.ts';
import { applyNet } from '../src/models/net.ts';
import { adversary } from '../src/operators/adversary.ts';
import { backward } from '../src/operators/backward.ts';
import { ema } from '../src/operators/ema.ts';
import { finish } from '../src/operators/finish.ts';
import { forward } from '../src/operators/forward.ts';
import { type Replayed, replay } from '../src/operators/replay.ts';
import { type Corrected, seraena } from '../src/operators/seraena.ts';
import { shiftColours } from '../src/operators/shiftColours.ts';
import { type Seen, teach } from '../src/operators/teach.ts';
import { undoDivergence } from '../src/operators/undoDivergence.ts';
import { seeded } from '../src/random.ts';
import { perceptualOptions } from '../src/run/autoencoderOptions.ts';
import { imitate } from '../src/run/imitate.ts';
import type { Method } from '../src/run/method.ts';
import { augmentOptions, feedOptions, imageOptions, optimOptions, seedOption, stepsOption, trackOptions } from '../src/run/options.ts';
import { runPipeline } from '../src/run/runPipeline.ts';
import { observe, pairsOf } from '../src/run/stages.ts';
import { conclude, gameOf, ganOptions, guardOptions, introduce, policyOf, recipeOptions, studentOptions, taesdFiles, taesdNets, weightsOf } from '../src/run/taesdNets.ts';
import { teacherOptions, teacherShape } from '../src/run/teacher.ts';
import type { Measured, Pair } from '../src/streams/frames.ts';
import { settle } from '../src/streams/settle.ts';

const schema = z.object({
  data: imageOptions({ root: 'fixtures/splats', size: 64, batch: 8, images: 'both' }),
  feed: feedOptions({ credits: 3, workers: 2, cache: '512MB' }),
  augment: augmentOptions({ shift: 0.05, rotate: 0, crop: 0.7, flip: 0.5, hue: 0, saturation: 0 }),
  colours: z.number().min(0).max(1).default(0.1).describe('share of images whose hue and saturation are shifted'),
  teacher: teacherOptions(),
  student: studentOptions({ width: 32, blocks: 1 }),
  ...recipeOptions(),
  gan: ganOptions({ rate: 1, base: 24, layers: 2, history: 64 }),
  guard: guardOptions({ tolerance: 2 }),
  perceptual: perceptualOptions(),
  optim: optimOptions({ lr: 1e-3, beta1: 0.9, beta2: 0.9, weightDecay: 0, amsgrad: true, clip: 1, warmUp: 20, accumulate: 1 }),
  track: trackOptions({ halfLife: 400, logEvery: 10, sampleEvery: 100, validateEvery: 100, saveEvery: 100, keep: 3 }),
  steps: stepsOption(400), seed: seedOption(0),
});
type Config = z.output<typeof schema>;

export const taesd: Method<Config, ReturnType<typeof taesdNets>> = {
  name: 'taesd', summary: 'tiny student of an autoencoder: latents by distillation, images by a conditional GAN',
  schema, nets: taesdNets, files: taesdFiles, reconstructs: ({ data }) => data.images,
  train: (config, run, resources) => {
    const [{ encoder, decoder, teacher, critic, latentCritic, history, control, lpips }, { clip }, gate, key] = [resources, config.optim, run.gate(config.feed.credits), seeded(run.seed)];
    const [weights, game, policy] = [weightsOf(config), gameOf(config.gan), policyOf(config.gan)];
    introduce(run, config, resources);
    const decode = <F extends Seen>(gan?: Term<F & Decoded>) => backward(decoder, (net, { latent }: F): Decoded => ({ output: net(latent) }), decoderObjective(weights, { perceptual: lpips?.net, gan, factor: control?.weight }), { clip });
    const learnImages: OperatorFunction<Seen, Seen & Measured> = !critic || !history ? decode() : config.gan.loss === 'seraena' ? pipe(
      forward(decoder, (net, { latent }: Seen) => ({ fake: net(latent) })),
      seraena(critic, history, ({ target, fake, latent }) => ({ real: target, fake, context: latent }), { key }),  // + corrected
      decode<Seen & Corrected>(({ output, corrected }) => mse(output, corrected)),
    ) : pipe(
      decode<Seen>(({ output, target, latent }) => game.generator({ realLogits: applyNet(critic)(target, latent), fakeLogits: applyNet(critic)(output, latent) })),
      policy ? replay(history, ({ output, latent }: Seen & Decoded) => ({ fake: output, context: latent }), { key, policy }) : asItIs,  // + replayed
      adversary(critic, ({ target, latent, output, replayed }: Seen & Decoded & Partial<Replayed<'fake' | 'context'>>) => ({ real: target, realCondition: latent, fake: replayed?.fake ?? output, fakeCondition: replayed?.context ?? latent }), { loss: game, penalties: config.gan, clip, key }),
    );
    const learn = pipe(
      config.colours > 0 ? shiftColours<'source' | 'target', Pair>(['source', 'target'], { key, share: config.colours }) : asItIs,
      teach(teacher.codec),  // + latent
      config.loss.latent > 0 ? imitate(encoder, { critic: latentCritic, game, weights: { mse: config.loss.latent, gan: weights.latentGan }, clip, key }) : asItIs,  // + guess
      learnImages, ema(encoder, config.track), ema(decoder, config.track),  // + output
    );
    return pairsOf(run, gate, config).pipe(gate.stage('engine', pipe(learn, settle(), control ? undoDivergence(control, { loss: 'decoder.distance', say: run.report.line, ...config.guard }) : asItIs)),
      observe(run, gate, config, resources, taesd.translate(resources, config)), finish(() => conclude(run, config, resources)), gate.settle());
  },
  translate: ({ encoder, decoder }) => (source) => applyNet(decoder, 'shadow')(applyNet(encoder, 'shadow')(source)),
  multipleOf: (config) => teacherShape(config.teacher).factor,
};
if (import.meta.main) await runPipeline(taesd);
