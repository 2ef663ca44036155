/** What judges and guides pix2pix-turbo beside the pairs: a frozen CLIP, and the critic that looks through it. */
import { smoothed } from '../losses/adversarial.ts';
import { type ClipImage, clipLogits, clipPixels } from '../models/clip.ts';
import { idsOf, readTokenizer } from '../models/clipTokenizer.ts';
import { diffAugment, parseDiffAugment } from '../models/diffAugment.ts';
import { resizeBilinear } from '../models/blocks/upsample.ts';
import { type Net, type StateDict, givenNet, paramsOf } from '../models/net.ts';
import { type Network, param, running } from '../models/network.ts';
import { patchCritic } from '../models/patchCritic.ts';
import { type HeadLogits, type Sight, sightOf, visionHeads, visionOf } from '../models/visionCritic.ts';
import { openClip, readClip } from '../models/weights/clipFolder.ts';
import { constantWithWarmUp } from '../optim/learningRate.ts';
import type { Key } from '../random.ts';
import type { Resource } from '../streams/scoped.ts';
import * as tf from '../tf.ts';
import type { GivenFiles } from './given.ts';
import { unwrap } from './orThrow.ts';
import type { SdTurboConfig } from './sdTurbo.ts';
import { trainedNet } from './trained.ts';

type Given = Readonly<Record<string, StateDict>>;
export type CriticConfig = SdTurboConfig & Readonly<{ clip: Readonly<{ folder: string }>; critic: Readonly<{ base: number; layers: number; augment: string }> }>;

/** Reads CLIP where a folder is named. @throws ConfigError, WeightsError */
export const clipFiles = async ({ clip: { folder }, generator: { text, caption } }: CriticConfig): Promise<GivenFiles> =>
  (folder === '' ? {} : { clip: [await unwrap(openClip(folder, text === 'prompts' ? undefined : caption))] });

/** A frozen CLIP, and what it knows of captions. */
export type Eyes = Resource & Readonly<{
  /** What a critic judges pictures by. */
  sight: (image: tf.Tensor4D) => Sight;
  heads: Network<[sight: Sight], HeadLogits>;
  /** How well pictures fit captions, about -100..100: float32 [B, B], every picture with every caption as published; [B, 1] where there is one caption for all. */
  fit: (image: tf.Tensor4D, prompts: readonly (string | undefined)[]) => tf.Tensor2D;
}>;

const constantOf = ({ shape, data }: StateDict[string]): tf.Variable => tf.tidy(() => tf.variable(tf.tensor(data, [...shape]), false));

/** CLIP, live and frozen; where one caption was embedded before, only its image half. */
export const clipEyes = ({ clip: { folder }, generator: { caption } }: CriticConfig, given: StateDict): Eyes => {
  const model = readClip(folder);
  const { caption: embedded, logit_scale: gain } = given;
  const { variables, constants, net } = givenNet(embedded ? visionOf(model) : model as Network<never, unknown>, given);
  const [scale, fixed] = [constantOf(gain as StateDict[string]), embedded && constantOf(embedded) as tf.Variable<tf.Rank.R2>];
  const tokenizer = readTokenizer(folder);
  const size = model.config.vision_config.image_size;
  const look = (pixels: tf.Tensor4D): ClipImage => model.image(paramsOf(net), pixels);
  const said = (prompts: readonly (string | undefined)[]): tf.Tensor2D => fixed ?? model.text(paramsOf(net), idsOf(tokenizer, prompts.map((prompt) => prompt ?? caption)));
  return {
    variables, constants: { ...constants, scale, ...(fixed && { fixed }) }, heads: visionHeads(model),
    sight: (image) => sightOf(model, look, image),
    fit: (image, prompts) => clipLogits(scale, look(resizeBilinear(clipPixels(image), size, size)).embedding, said(prompts)),
  };
};

/** A critic: a net of what `look` finds in pictures, each augmented by its own draw. */
export type SightCritic = Net<[sight: Sight], HeadLogits> & Readonly<{ look: (image: tf.Tensor4D, key: Key) => Sight }>;

/** Heads on CLIP, as published; without CLIP a patch critic of pixels stands in for it. */
export const sdTurboCritic = (config: CriticConfig, given: Given | undefined, eyes: Eyes | undefined): SightCritic => {
  const { base, layers, augment } = config.critic;
  const policy = parseDiffAugment(augment);
  const patches = patchCritic({ base, layers, norm: 'spectral' });
  const onPixels: Network<[Sight], HeadLogits> = { ...patches, apply: (params, [image]) => [patches.apply(params, image as tf.Tensor4D)] };
  const net = trainedNet(eyes ? eyes.heads : onPixels, config, given, { shadow: false, lr: constantWithWarmUp(config.optim.lr, config.optim) });
  return { ...net, look: (image, key) => { const seen = diffAugment(image, policy, key); return eyes ? eyes.sight(seen) : [seen]; } };
};

/**
 * The critic as the generator's step sees it: a constant, but as in training with its spectral norms brought up to date first. Call inside a tidy.
 * Before its first update their directions are random, and what they say of a weight's size means nothing.
 */
export const judgeOf = (critic: SightCritic): ((sight: Sight) => HeadLogits) => {
  const params = paramsOf(critic);
  return (sight) => critic.network.apply({ ...params, [running]: { read: (name) => param(params, name), write: () => {} } }, sight);
};

/** Cross-entropy with softened labels, summed over heads: of a critic that is to be fooled, and of the critic on real and on generated images. @param options as of `smoothed` */
export const smoothedOverHeads = (options: { real?: number; fake?: number }): Readonly<Record<'fooled' | 'real' | 'fake', (logits: HeadLogits) => tf.Scalar>> => {
  const game = smoothed(options);
  const sum = (term: (logits: tf.Tensor) => tf.Scalar) => (logits: HeadLogits): tf.Scalar => logits.map(term).reduce((a, b) => tf.add(a, b));
  return { fooled: sum((fakeLogits) => game.generator({ fakeLogits })), real: sum((realLogits) => game.criticReal({ realLogits })), fake: sum((fakeLogits) => game.criticFake({ fakeLogits })) };
};
