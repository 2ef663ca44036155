/**
 * R3GAN: a relativistic game of two plain networks, kept convergent by R1 and R2 at every step. On pairs the generator translates the source and the critic judges images
 * beside it; from noise it draws images like the targets.
 * Run: node pipelines/r3gan.ts [--data fixtures/splats] [--set loss.l1=0] [--set game.from=noise]
 * @source Huang et al. 2025, arXiv 2501.05441; courses of brownvc/R3GAN. There each network's step has a batch and noise of its own; here both share the frame's
 */
import { pipe } from 'rxjs';
import { z } from 'zod';
import { relativisticPairing } from '../src/losses/adversarial.ts';
import { l1 } from '../src/losses/l1.ts';
import { weighted } from '../src/losses/objective.ts';
import { adaOver, adaSets } from '../src/models/ada.ts';
import { augmentedCritic } from '../src/models/augmentedCritic.ts';
import { type StateDict, applyNet, makeNet } from '../src/models/net.ts';
import type { Network } from '../src/models/network.ts';
import { noiseOf, r3ganGame } from '../src/models/r3ganGame.ts';
import { adversary } from '../src/operators/adversary.ts';
import { backward } from '../src/operators/backward.ts';
import { ema } from '../src/operators/ema.ts';
import { adam } from '../src/optim/adam.ts';
import { fold, seeded } from '../src/random.ts';
import type { Method } from '../src/run/method.ts';
import { augmentOptions, dataOptions, feedOptions, seedOption, stepsOption, trackOptions } from '../src/run/options.ts';
import { runPipeline } from '../src/run/runPipeline.ts';
import { observe, pairsOf } from '../src/run/stages.ts';
import { cosineCourse } from '../src/schedules/course.ts';
import type { Pair } from '../src/streams/frames.ts';
import { settle } from '../src/streams/settle.ts';

const schema = z.object({
  data: dataOptions({ root: 'fixtures/splats', size: 64, batch: 4 }),
  feed: feedOptions({ credits: 3, workers: 2, cache: '512MB' }),
  augment: augmentOptions({ shift: 0, rotate: 0, crop: 1, flip: 0.5, hue: 0, saturation: 0 }),
  game: z.object({ from: z.enum(['source', 'noise']).default('source').describe('what images are made from'), noise: z.int().min(1).default(64).describe('length of the noise') }),
  generator: z.object({ base: z.int().default(16).describe('width at full resolution; doubles at every halving'), most: z.int().default(64).describe('largest width'), blocks: z.int().default(1).describe('residual blocks a stage'), stages: z.int().min(1).default(3).describe('resolutions of a translator') }),
  critic: z.object({ base: z.int().default(16), most: z.int().default(64), blocks: z.int().default(1) }),
  loss: z.object({ gan: z.number().default(1), l1: z.number().min(0).default(10).describe('of pairs, beside the game; the paper has none'), gamma: z.number().positive().default(2).describe('weight of R1 and R2 at first; grows with the number of pixels') }),
  optim: z.object({ lr: z.number().positive().default(1e-3).describe('learning rate at first'), beta2: z.number().gt(0).lt(1).default(0.9).describe('decay of the mean squared gradient at first'), warmUp: z.int().min(0).default(0).describe('updates of linear warm-up; the paper has none') }),
  final: z.object({ share: z.number().min(0).max(1).default(1).describe('share of the run in which all goes along a cosine to:'), lr: z.number().positive().default(2.5e-4), beta2: z.number().gt(0).lt(1).default(0.99), gamma: z.number().positive().default(0.2), augment: z.number().min(0).max(1).default(0.1).describe('probability of each change to what the critic sees; 0 at first') }),
  track: trackOptions({ halfLife: 400, logEvery: 10, sampleEvery: 60, validateEvery: 150, saveEvery: 50, keep: 3 }).describe('the half-life, too, is 0 at first'),
  steps: stepsOption(300), seed: seedOption(0),
});
type Config = z.output<typeof schema>;

/** All courses of a run, over its steps. */
const coursesOf = ({ optim, loss, final, track, steps }: Config) => {
  const course = (from: number, to: number, warmUp = 0) => cosineCourse({ from, to, over: final.share * steps, warmUp });
  return { lr: course(optim.lr, final.lr, optim.warmUp), beta2: course(optim.beta2, final.beta2), gamma: course(loss.gamma, final.gamma), augment: course(0, final.augment), halfLife: course(0, track.halfLife) };
};

const nets = (config: Config, given: Readonly<Record<string, StateDict>> = {}) => {
  const [{ lr, beta2 }, { generator, critic }] = [coursesOf(config), r3ganGame({ ...config, ...config.game, size: config.data.size })];
  const live = <I extends readonly unknown[], O>(network: Network<I, O>, shadow: boolean) => makeNet(network, {
    key: fold(seeded(config.seed), network.name), optimizer: adam({ beta1: 0, beta2 }), lr, given: given[network.name] ?? {}, shadow });
  return { generator: live(generator, true), critic: live(critic, false) };
};

export const r3gan: Method<Config, ReturnType<typeof nets>> = {
  name: 'r3gan',
  summary: 'relativistic game with R1 and R2 at every step, on pairs or from noise',
  schema,
  nets,
  train: (config, run, resources) => {
    const [{ generator, critic }, { game, loss, final, data: { batch } }, { gamma, augment: p, halfLife }] = [resources, config, coursesOf(config)];
    const [key, gate, augment] = [seeded(run.seed), run.gate(config.feed.credits), adaOver(adaSets.r3gan, final.augment > 0 ? p : undefined)];
    const judge = (name: string, { source, step }: Pair) => augmentedCritic(applyNet(critic), { condition: source, augment, key: fold(key, 'judge', step, name), step });
    const learn = pipe(
      backward(generator, (net, { source, ids, step }: Pair) => ({ fake: net(source, noiseOf(ids.map((_, i) => fold(key, 'noise', step, i)), game.noise)) }), weighted({  // + fake
        gan: [loss.gan, (frame) => relativisticPairing.generator({ realLogits: judge('real', frame)(frame.target), fakeLogits: judge('fake', frame)(frame.fake) })],
        ...(game.from === 'source' && { l1: [loss.l1, ({ fake, target }) => l1(fake, target)] }),
      })),
      adversary(critic, ({ target, fake, source }) => ({ real: target, realCondition: source, fake, fakeCondition: source }), { loss: relativisticPairing, penalties: { r1: gamma, r2: gamma }, augment, key }),
      ema(generator, { halfLife: (images) => halfLife(images / batch) }),
    );
    return pairsOf(run, gate, config).pipe(gate.stage('engine', pipe(learn, settle())), observe(run, gate, config, resources, r3gan.translate(resources, config)), gate.settle());
  },
  translate: ({ generator }, { game }) => (source, { keys }) => applyNet(generator, 'shadow')(source, noiseOf(keys.map((key) => fold(key, 'noise')), game.noise)),
  multipleOf: ({ game, generator, data }) => (game.from === 'source' ? 2 ** (generator.stages - 1) : data.size),
};
if (import.meta.main) await runPipeline(r3gan);
