/** How an autoencoder listens to its critic: options, and the objective they make. */
import { z } from 'zod';
import { adaptively } from '../losses/adaptive.ts';
import { adversarialLosses } from '../losses/adversarial.ts';
import { type Objective, weighted } from '../losses/objective.ts';
import type { Anchors } from '../models/anchors.ts';
import { type Net, type StateDict, applyNet, withoutFrozen } from '../models/net.ts';
import { patchCritic } from '../models/patchCritic.ts';
import type { Coded } from '../models/vae.ts';
import { ofTrunk, vggCritic, vggPatch } from '../models/vggCritic.ts';
import type { Batch, Pair } from '../streams/frames.ts';
import * as tf from '../tf.ts';
import { type LossOptions, type PerceptualNets, overViews, type perceptualOptions, reconstructionTerms } from './autoencoderOptions.ts';
import type { optimOptions } from './options.ts';
import { trainedNet } from './trained.ts';

/** The critic. */
export const criticOptions = (given: { base: number; layers: number }) => z.object({
  kind: z.enum(['patch', 'vgg']).default('patch').describe('what judges: patches of pixels, or what a frozen VGG16 sees in them, whose weights perceptual.lpips gives'),
  base: z.number().int().min(1).default(given.base).describe('width of the critic\'s first layer'),
  layers: z.number().int().min(1).default(given.layers).describe('halvings: 1, 2, 3 see patches of 16, 34, 70 px'),
  norm: z.enum(['none', 'instance', 'group', 'batch', 'spectral']).default('group').describe('the critic\'s normalisation; batch in latent diffusion'),
});

/** The game. */
export const ganOptions = (given: { weight: number; start: number }) => z.object({
  loss: z.enum(['hinge', 'nonSaturating', 'leastSquares']).default('hinge').describe('what critic and decoder play'),
  balance: z.enum(['adaptive', 'normalised', 'fixed']).default('adaptive').describe('adaptive: by gradients at the decoder\'s last layer; normalised: every term pulls at the image as hard as its weight says; fixed: as they are'),
  weight: z.number().min(0).default(given.weight).describe('of the adversarial term; where it is adaptive, against a reconstruction of 1'),
  start: z.number().int().min(0).default(given.start).describe('step from which critic and decoder play, as `disc_start` of latent diffusion; until then only reconstruction is trained'),
  lecam: z.number().min(0).default(0).describe('weight of LeCam regularisation of the critic; 0.1 in vqgan-training'),
  tolerance: z.number().gt(1).default(1.5).describe('how many times its best the reconstruction may be, for 50 steps in a row, before the run goes back and listens half as much'),
});
type CriticConfig = Readonly<{
  critic: z.output<ReturnType<typeof criticOptions>>; perceptual: z.output<ReturnType<typeof perceptualOptions>>; optim: z.output<ReturnType<typeof optimOptions>>; steps: number; seed: number;
}>;

/** The critic, live. A frozen VGG16 is not saved with it; a critic of pixels stands in where its weights are not given. */
export const criticOf = (config: CriticConfig, given: Readonly<Record<string, StateDict>> = {}): Critic => {
  const { critic: { kind, ...size }, perceptual: { backbone } } = config;
  const trunk = backbone === 'vgg' ? given['lpips'] : undefined;
  return kind === 'patch' || !trunk ? trainedNet(patchCritic(size), config, given, { shadow: false })
    : withoutFrozen(trainedNet(vggCritic(), config, { critic: { ...trunk, ...given['critic'] } }, { shadow: false, trainable: (name) => !ofTrunk(name) }));
};

/** What a run says of a critic that is not the one it was asked for. */
export const withoutTrunk = ({ kind }: CriticConfig['critic'], { network }: Critic): readonly string[] =>
  (kind === 'vgg' && (network.config as { kind?: string }).kind !== 'vgg' ? ['no VGG16 weights are given (perceptual.lpips): a critic of pixels stands in'] : []);

type Critic = Net<[image: tf.Tensor4D, condition?: tf.Tensor4D], tf.Tensor4D>;
type GanOptions = z.output<ReturnType<typeof ganOptions>>;

/** What the critic is told beside its images: its half of the loss (halved, as in latent diffusion), when it begins, and LeCam, where it is wanted. */
export const criticLoss = ({ loss, lecam, start }: GanOptions, anchors: Anchors) => ({ loss: adversarialLosses[loss], weight: 0.5, from: start, ...(lecam > 0 && { lecam: { anchors, weight: lecam } }) });

/** What the critic says of an image. @throws RangeError for one that is smaller than a patch, such as a window of `equivariance.least` */
const judged = (critic: Critic, image: tf.Tensor4D): tf.Tensor => {
  const { layers } = critic.network.config as { layers?: number };
  const least = layers === undefined ? vggPatch : 3 * 2 ** layers;
  const side = Math.min(image.shape[1], image.shape[2]);
  if (side < least) throw new RangeError(`critic: expected images and windows of at least ${least} px for this critic but received ${side}`);
  return applyNet(critic)(image);
};

/** The term of a reconstruction that says whether a run diverges: the first of those it is trained on. */
export const watchedTerm = (loss: LossOptions): string => `vae.${(['l1', 'l2', 'lpips', 'edge', 'pooled', 'convnext'] as const).find((name) => loss[name] > 0) ?? 'kl'}`;

/**
 * Reconstruction and adversarial term over all views. The term is reported as `adversarial`.
 * @param options.weights of the views @param options.listening multiplies the adversarial weight, such as that of `divergenceControl`
 */
export const ganObjective = (loss: LossOptions, { loss: game, balance, weight, start }: GanOptions, critic: Critic, nets: PerceptualNets, { weights, listening }: {
  weights: readonly number[]; listening: tf.Scalar;
}): Objective<Pair & Coded> => {
  const options = { weights, normalised: balance === 'normalised' };
  const { generator } = adversarialLosses[game];
  const [share, adversarial] = overViews(balance === 'adaptive' ? 1 : weight, (output) => generator({ fakeLogits: judged(critic, output) }), options);
  const terms = reconstructionTerms(loss, nets, options);
  // The start is a number in the graph, so that the graph is the same before and after.
  const factor = ({ step }: Batch): tf.Scalar => tf.mul(listening, tf.scalar(step < start ? 0 : 1));
  if (balance === 'adaptive') return adaptively<Pair & Coded>(weighted(terms), adversarial, { lastLayer: ({ lastLayer }) => lastLayer, factor, scale: weight });
  return (frame) => {
    const reconstruction = weighted(terms)(frame);
    const against = adversarial(frame);
    return { loss: tf.add(reconstruction.loss, tf.mul(against, tf.mul(factor(frame), share))), terms: { ...reconstruction.terms, adversarial: against } };
  };
};
