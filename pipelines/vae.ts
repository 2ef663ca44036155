/**
 * An autoencoder for one dataset: an AutoencoderKL from scratch, or a released one fine-tuned (`--init folder`), by reconstruction, perceptual distance and a faint KL term.
 * Run: node pipelines/vae.ts [--data fixtures/splats] [--init sd-vae-ft-mse]; then node pipelines/flow.ts --set latent.autoencoder=runs/vae/latest
 * @source Kingma and Welling 2013, arXiv 1312.6114; Rombach et al. 2022, arXiv 2112.10752, section 3.1
 */
import { pipe } from 'rxjs';
import { z } from 'zod';
import { weighted } from '../src/losses/objective.ts';
import type { StateDict } from '../src/models/net.ts';
import { backward } from '../src/operators/backward.ts';
import { ema } from '../src/operators/ema.ts';
import { finish } from '../src/operators/finish.ts';
import { seeded } from '../src/random.ts';
import { autoencoderOptions, perceptualNets, perceptualOptions, reconstructing, reconstructionOptions, reconstructionTerms, vaeNet, vaeOf, withoutPerceptual } from '../src/run/autoencoderOptions.ts';
import { autoencoding, leaveAutoencoder } from '../src/run/autoencoding.ts';
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
  optim: recipeOptimOptions({ lr: 2e-3, beta1: 0.9, beta2: 0.999, weightDecay: 0, amsgrad: false, clip: 1, warmUp: 20, accumulate: 1 }),
  track: trackOptions({ halfLife: 800, logEvery: 10, sampleEvery: 100, validateEvery: 200, saveEvery: 100, keep: 3 }),
  steps: stepsOption(800),
  seed: seedOption(0),
});
type Config = z.output<typeof schema>;

const nets = (config: Config, given?: Readonly<Record<string, StateDict>>) => ({ vae: vaeNet(vaeOf(config.network), config, given), ...perceptualNets(config.perceptual, given) });

export const vae: Method<Config, ReturnType<typeof nets>> = {
  name: 'vae',
  summary: 'autoencoder of images: reconstruction, perceptual distance, KL',
  schema,
  nets,
  ...autoencoding,   // images in place of pairs, `translate` as reconstruction, `encoder` and `decoder` to export
  train: (config, run, resources) => {
    const gate = run.gate(config.feed.credits);
    for (const text of withoutPerceptual(config.loss, resources)) run.report.line(text);
    const learn = pipe(
      backward(resources.vae, reconstructing(seeded(run.seed)), weighted(reconstructionTerms(config.loss, resources)), config.optim),   // + mean, logvar, latent, views
      ema(resources.vae, config.track),
    );
    return pairsOf(run, gate, config).pipe(
      gate.stage('engine', pipe(learn, settle())),
      observe(run, gate, config, resources, vae.translate(resources, config), { latents: autoencoding.parts(resources, config).encoder }),
      finish(() => leaveAutoencoder(run, resources, config)),
      gate.settle(),
    );
  },
};

if (import.meta.main) await runPipeline(vae);
