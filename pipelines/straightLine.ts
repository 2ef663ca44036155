/**
 * An idea put to the test: that for a narrow task the latents of paired images can be made to lie on one straight line, plus noise. Trains it beside what it has
 * to beat, on the same batches; measures all on held-out pairs, says whether it works, and writes `verdict.json`.
 * Run: node pipelines/straightLine.ts [--data fixtures/splats] [--set line.kind=direction|flow|oneLine] [--set line.weight=0.01] [--set line.cross=0]
 * @source the experiment is this project's; straightness: Liu et al. 2022, arXiv 2209.03003; anti-collapse: Bardes et al. 2022, arXiv 2105.04906
 */
import { pipe } from 'rxjs';
import { z } from 'zod';
import { l1 } from '../src/losses/l1.ts';
import { weighted } from '../src/losses/objective.ts';
import { type Clean, answer, denoiser } from '../src/models/denoiser.ts';
import { latentVelocity, lineAutoencoder, lineTranslator } from '../src/models/lineAutoencoder.ts';
import { type StateDict, applyNet } from '../src/models/net.ts';
import { translatorOf } from '../src/models/translateBy.ts';
import { type LineArm, alignLatents } from '../src/operators/alignLatents.ts';
import { backward } from '../src/operators/backward.ts';
import { corrupt } from '../src/operators/corrupt.ts';
import { ema } from '../src/operators/ema.ts';
import { encode } from '../src/operators/encode.ts';
import { judgeLine } from '../src/operators/judgeLine.ts';
import { seeded } from '../src/random.ts';
import type { Method } from '../src/run/method.ts';
import { augmentOptions, dataOptions, denoiserOptions, feedOptions, optimOptions, seedOption, stepsOption, trackOptions } from '../src/run/options.ts';
import { runPipeline } from '../src/run/runPipeline.ts';
import { latentFiles, latentMultiple, latentOptions, workingSpace } from '../src/run/space.ts';
import { observe, pairsOf } from '../src/run/stages.ts';
import { trainedNet } from '../src/run/trained.ts';
import { regression } from '../src/schedules/processes/regression.ts';
import type { Settled } from '../src/streams/frames.ts';
import { settle } from '../src/streams/settle.ts';

const schema = z.object({
  data: dataOptions({ root: 'fixtures/splats', size: 32, batch: 8 }),
  feed: feedOptions({ credits: 3, workers: 2, cache: '512MB' }),
  augment: augmentOptions({ shift: 0.05, rotate: 5, crop: 1, flip: 0.5, hue: 0, saturation: 0 }),
  line: z.object({
    kind: z.enum(['shift', 'direction', 'flow', 'oneLine']).default('shift').describe('one vector between all pairs, one direction, a straight flow, or one line for all'),
    weight: z.number().min(0).default(0.1).describe('of what asks for it, and of what keeps latents from collapsing'), cross: z.number().min(0).default(1).describe('of the target decoded from the shifted source'),
    noise: z.number().min(0).default(1).describe('on the shifted source, as a share of what the shift leaves over'), velocity: z.int().min(1).default(64).describe('width of the velocity between latents'),
    base: z.int().min(1).default(24).describe('width of the autoencoder'), halvings: z.int().min(0).default(3).describe('from pixels to latents'), latent: z.int().min(1).default(8).describe('channels of the latents'),
  }),
  latent: latentOptions(),
  network: denoiserOptions({ base: 8, multipliers: [1, 2, 4], depth: 1, attention: true, conditioned: false }).omit({ conditioned: true }),
  optim: optimOptions({ lr: 1e-3, beta1: 0.9, beta2: 0.999, weightDecay: 0, amsgrad: false, clip: 1, warmUp: 20, accumulate: 1 }),
  track: trackOptions({ halfLife: 800, logEvery: 10, sampleEvery: 250, validateEvery: 250, saveEvery: 250, keep: 3 }),
  steps: stepsOption(1000), seed: seedOption(0),
});
type Config = z.output<typeof schema>;
const autoencoderOf = (name: string, { data, line: { base, halvings, latent } }: Config, { factor, channels }: ReturnType<typeof workingSpace>['codec']) =>
  lineAutoencoder(name, { channels, size: data.size / factor, base, strides: Math.max(0, halvings - Math.log2(factor)), latent });

const nets = (config: Config, given?: Readonly<Record<string, StateDict>>) => {
  const space = workingSpace(config.latent, given);
  const autoencoder = (name: string) => trainedNet(autoencoderOf(name, config, space.codec), config, given, { as: 'autoencoder' });
  const flow = (name: string) => trainedNet(latentVelocity(name, { channels: config.line.latent, width: config.line.velocity }), config, given, { as: 'flow' });
  return {
    line: autoencoder('line'), lineFlow: flow('lineFlow'), plain: autoencoder('plain'), plainFlow: flow('plainFlow'), shuffled: autoencoder('shuffled'), shuffledFlow: flow('shuffledFlow'),
    direct: trainedNet({ ...denoiser({ ...config.network, channels: space.codec.channels, conditioned: false }), name: 'direct' }, config, given), space,
  };
};

export const straightLine: Method<Config, ReturnType<typeof nets>> = {
  name: 'straightLine', summary: 'do the latents of pairs lie on a straight line? an experiment with a verdict', schema, nets, files: ({ latent }) => latentFiles(latent),
  train: (config, run, resources) => {
    const [{ line, lineFlow, plain, plainFlow, shuffled, shuffledFlow, direct, space: { codec } }, { kind, weight, cross, noise }, { clip }] = [resources, config.line, config.optim];
    const [key, gate, autoencoder] = [seeded(run.seed), run.gate(config.feed.credits), autoencoderOf('line', config, codec)];
    const arms = { line: { net: line, flow: lineFlow, autoencoder }, plain: { net: plain, flow: plainFlow, autoencoder }, shuffled: { net: shuffled, flow: shuffledFlow, autoencoder, shuffled: true } };
    const arm = (one: LineArm, asked: number) => pipe(alignLatents<Clean>(one, { kind, line: asked * weight, collapse: weight, cross: asked * cross, noise, clip, key }), ema(one.net, config.track), ema(one.flow, config.track));
    const learn = pipe(
      encode(codec), arm(arms.plain, 0), arm(arms.line, 1), arm(arms.shuffled, 1),               // what is to be beaten, the idea, and the idea on pairs torn apart
      corrupt(regression(), { key }),                                                            // + t, noisy, goal, weight
      backward(direct, answer, weighted({ l1: [1, ({ output, goal }) => l1(output, goal)] }), { clip }), ema(direct, config.track),
    );
    const judge = judgeLine<Settled>(run, config.data.size, { ...arms, direct: translatorOf(codec, regression(), () => applyNet(direct, 'shadow'), 1) }, { kind, codec });
    return pairsOf(run, gate, config).pipe(gate.stage('engine', pipe(learn, settle())), observe(run, gate, config, resources, straightLine.translate(resources, config)), judge, gate.settle());
  },
  translate: ({ space: { codec }, ...trained }, config) => lineTranslator(codec, autoencoderOf('line', config, codec), trained, config.line.kind),
  multipleOf: ({ line, latent }) => Math.max(2 ** line.halvings, latentMultiple(latent)),
};
if (import.meta.main) await runPipeline(straightLine);
