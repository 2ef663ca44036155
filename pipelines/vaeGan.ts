/**
 * An autoencoder with a critic, as of latent diffusion: reconstruction, perceptual distance and an adversarial term that pulls half as hard at the decoder's last layer.
 * Run: node pipelines/vaeGan.ts [--data fixtures/splats] [--init sd-vae-ft-mse] [--config recipes/vaeGan/eqVae.json]; recipes/vaeGan/ has the published ones
 * @source Esser et al. 2020 (VQGAN), arXiv 2012.09841, eq. 5-7; Rombach et al. 2022, arXiv 2112.10752, appendix G; latent-diffusion `contperceptual.py`
 */
import { pipe } from 'rxjs';
import { z } from 'zod';
import { alike } from '../src/losses/alike.ts';
import { logitAnchors } from '../src/models/anchors.ts';
import type { StateDict } from '../src/models/net.ts';
import { adversary } from '../src/operators/adversary.ts';
import { backward } from '../src/operators/backward.ts';
import { ema } from '../src/operators/ema.ts';
import { finish } from '../src/operators/finish.ts';
import { trackLogits } from '../src/operators/trackLogits.ts';
import { divergenceControl, undoDivergence } from '../src/operators/undoDivergence.ts';
import { seeded } from '../src/random.ts';
import { autoencoderOptions, perceptualNets, perceptualOptions, reconstructing, reconstructionOptions, vaeNet, vaeOf, withoutPerceptual } from '../src/run/autoencoderOptions.ts';
import { autoencoding, leaveAutoencoder } from '../src/run/autoencoding.ts';
import { equivarianceOptions, viewWeights, viewsAt } from '../src/run/equivarianceOptions.ts';
import { criticLoss, criticOf, criticOptions, ganObjective, ganOptions, watchedTerm, withoutTrunk } from '../src/run/ganOptions.ts';
import type { Method } from '../src/run/method.ts';
import { augmentOptions, feedOptions, imageOptions, recipeOptimOptions, seedOption, stepsOption, trackOptions } from '../src/run/options.ts';
import { runPipeline } from '../src/run/runPipeline.ts';
import { observe, pairsOf } from '../src/run/stages.ts';
import { settle } from '../src/streams/settle.ts';

const schema = z.object({
  data: imageOptions({ root: 'fixtures/splats', size: 64, batch: 8, images: 'both' }),
  feed: feedOptions({ credits: 3, workers: 2, cache: '512MB' }),
  augment: augmentOptions({ shift: 0.05, rotate: 5, crop: 0.6, flip: 0.5, hue: 0, saturation: 0 }),
  network: autoencoderOptions({ base: 16, multipliers: [1, 2, 4], depth: 1, channels: 4 }),
  loss: reconstructionOptions({ l1: 1, l2: 0, lpips: 1, kl: 1e-6 }),
  perceptual: perceptualOptions(),
  critic: criticOptions({ base: 24, layers: 2 }),
  gan: ganOptions({ weight: 0.5, start: 400 }),
  equivariance: equivarianceOptions(),
  optim: recipeOptimOptions({ lr: 2e-3, beta1: 0.5, beta2: 0.9, weightDecay: 0, amsgrad: false, clip: 1, warmUp: 20, accumulate: 1 }),
  track: trackOptions({ halfLife: 800, logEvery: 10, sampleEvery: 100, validateEvery: 200, saveEvery: 100, keep: 3 }),
  steps: stepsOption(800),
  seed: seedOption(0),
});
type Config = z.output<typeof schema>;

const nets = (config: Config, given?: Readonly<Record<string, StateDict>>) => {
  const playing = { vae: vaeNet(vaeOf(config.network), config, given), critic: criticOf(config, given) };
  return { ...playing, anchors: logitAnchors(), control: divergenceControl(playing), ...perceptualNets(config.perceptual, given) };
};

export const vaeGan: Method<Config, ReturnType<typeof nets>> = {
  name: 'vaeGan',
  summary: 'autoencoder of images with a critic, and its equivariant variants',
  schema,
  nets,
  ...autoencoding,   // images in place of pairs, `translate` as reconstruction, `encoder` and `decoder` to export
  train: (config, run, resources) => {
    const [{ loss, gan, equivariance, optim, track }, { vae, critic, anchors, control }] = [config, resources];
    const [gate, key] = [run.gate(config.feed.credits), seeded(run.seed)];
    for (const text of [...withoutPerceptual(loss, resources), ...withoutTrunk(config.critic, critic)]) run.report.line(text);
    const learn = pipe(
      backward(vae, reconstructing(key, (step) => viewsAt(equivariance, key, step)), ganObjective(loss, gan, critic, resources, { weights: viewWeights(equivariance), listening: control.weight }), optim),
      adversary(critic, ({ views }) => alike(views), { ...criticLoss(gan, anchors), clip: optim.clip, key }),   // + realLogits, fakeLogits
      trackLogits(anchors),
      ema(vae, track),
    );
    return pairsOf(run, gate, config).pipe(
      gate.stage('engine', pipe(learn, settle(), undoDivergence(control, { loss: watchedTerm(loss), tolerance: gan.tolerance, say: run.report.line }))),
      observe(run, gate, config, resources, vaeGan.translate(resources, config), { latents: autoencoding.parts(resources, config).encoder }),
      finish(() => leaveAutoencoder(run, resources, config)),
      gate.settle(),
    );
  },
};
if (import.meta.main) await runPipeline(vaeGan);
