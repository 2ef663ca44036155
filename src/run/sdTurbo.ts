/** pix2pix-turbo on released weights, as a run has it: what is read from the folder, the generator that is made of it, and how it is used. */
import { join } from 'node:path';
import { z } from 'zod';
import { ConfigError } from '../errors.ts';
import { autoencoderKl } from '../models/autoencoderKl.ts';
import { checkpointed } from '../models/checkpointing.ts';
import { idsOf } from '../models/clipTokenizer.ts';
import { type StateDict, applyNet, givenNet, withoutFrozen } from '../models/net.ts';
import type { ParamSpec } from '../models/network.ts';
import { pretrainedTurbo, trainsInTurbo, turboStart } from '../models/pretrainedTurbo.ts';
import { noiseFor } from '../models/translateBy.ts';
import { unet2dCondition } from '../models/unet2dCondition.ts';
import { openTurbo, readTurboModel, readTurboText, turboNoise } from '../models/weights/turboFolder.ts';
import { constantWithWarmUp } from '../optim/learningRate.ts';
import type { Drawn } from '../operators/drawNoise.ts';
import type { EmbedPrompts, Told } from '../operators/embedPrompts.ts';
import type { Pair, Prompted } from '../streams/frames.ts';
import type { Resource } from '../streams/scoped.ts';
import * as tf from '../tf.ts';
import { checksumOf, weightsIn } from './autoencoderFiles.ts';
import { filledInBy } from './fillIn.ts';
import type { GivenFiles } from './given.ts';
import type { Translate } from './method.ts';
import type { optimOptions } from './options.ts';
import { unwrap } from './orThrow.ts';
import { trainedNet } from './trained.ts';

const json = (text: string) => z.record(z.string(), z.unknown()).default({}).describe(`${text}; follows from the folder`);

/** The folder that everything begins from: a run remembers what it says, and needs its weights again, unchanged. */
export const releasedOptions = () => filledInBy(z.object({
  folder: z.string().default('').describe('SD-Turbo as diffusers writes it: a folder of unet, vae, scheduler, tokenizer, text_encoder').meta({ flag: 'init', value: 'FOLDER' }),
  unet: json('config.json of the UNet'), vae: json('config.json of the autoencoder'), scheduler: json('scheduler_config.json'),
  checksum: z.string().default('').describe('SHA-256 of the weights; filled in, and a run that goes on refuses others'),
}), async (released) => {
  const { folder } = released;
  const model = readTurboModel(folder);
  const checksum = await checksumOf((await Promise.all(['unet', 'vae'].map((part) => weightsIn(join(folder, part))))).flat());
  if (released.checksum !== '' && released.checksum !== checksum) {
    throw new ConfigError('init', `${folder}: expected the weights that this run was begun from (${released.checksum.slice(0, 12)}) but they have changed (${checksum.slice(0, 12)})`);
  }
  return { ...released, ...model, checksum };
});

/** What is made of it. */
export const sdTurboOptions = (given: { rankUnet: number; rankVae: number; timestep: number; gamma: number; sourceRange: 'unit' | 'signed'; posterior: 'sample' | 'mean' }) => z.object({
  rankUnet: z.int().min(1).default(given.rankUnet).describe('rank of the adapters of the UNet'),
  rankVae: z.int().min(1).default(given.rankVae).describe('rank of the adapters of the autoencoder'),
  timestep: z.int().min(0).default(given.timestep).describe('time the UNet is asked about'),
  gamma: z.number().min(0).max(1).default(given.gamma).describe('smallest share of the source in the noise mix; 1 is deterministic'),
  sourceRange: z.enum(['unit', 'signed']).default(given.sourceRange).describe('how the autoencoder is shown sources: in [0, 1] or in [-1, 1]'),
  posterior: z.enum(['sample', 'mean']).default(given.posterior).describe('which of the latents that the autoencoder allows for is taken'),
  text: z.enum(['prompts', 'caption', 'learned']).default('prompts').describe('what the UNet attends to: the prompt of each image, one caption for all (embedded once), or tokens that are trained'),
  caption: z.string().default('').describe('says what all targets are; with prompts, of those without'),
  recompute: z.boolean().default(false).describe('keep less for the gradient and compute it again'),
});

/** The groups of a configuration that are read here. */
export type SdTurboConfig = Readonly<{
  released: z.output<ReturnType<typeof releasedOptions>>;
  generator: z.output<ReturnType<typeof sdTurboOptions>>;
  optim: z.output<ReturnType<typeof optimOptions>>;
  steps: number;
  seed: number;
}>;

/** Reads the folder; one caption for all is embedded here. @throws ConfigError, WeightsError */
export const sdTurboFiles = async ({ released: { folder }, generator }: SdTurboConfig): Promise<GivenFiles> => {
  const { unet, vae, text, caption } = await unwrap(openTurbo(folder, generator));
  return { unet: [unet], vae: [vae], caption: [caption], ...(generator.text === 'prompts' && { text: [text] }) };
};

/** The text transformer, live and frozen, for captions that differ from image to image. */
export const sdTurboWords = ({ released: { folder, unet }, generator: { caption } }: SdTurboConfig, given: StateDict): Resource & Readonly<{ embed: EmbedPrompts }> => {
  const { network, tokenizer } = readTurboText(folder, unet['cross_attention_dim']);
  const { variables, constants, net } = givenNet(network, given);
  return { variables, constants, embed: (prompts) => applyNet(net)(idsOf(tokenizer, prompts.map((prompt) => prompt ?? caption))).hidden };
};

/** Pixels that height and width are multiples of: the autoencoder's factor, times what the UNet halves. */
export const sdTurboMultiple = ({ released: { unet, vae } }: Pick<SdTurboConfig, 'released'>): number =>
  autoencoderKl(vae).factor * 2 ** (unet2dCondition(unet).config.block_out_channels.length - 1);

/** What of the generator comes from where, in lines. */
const origins = (folder: string, specs: ReadonlyMap<string, ParamSpec>, start: StateDict): readonly string[] => {
  const parts = ['unet', 'vae'].map((part) => {
    const own = [...specs.keys()].filter((name) => name.startsWith(`${part}.`));
    const taken = own.filter((name) => name in start);
    // Tokens of its own that are neither given nor trained are never used: it is told others.
    const fresh = own.filter((name) => !(name in start) && !specs.get(name)?.buffer);
    return `  ${part}: ${taken.length} parameters taken over, ${fresh.length} begin afresh (${fresh.filter((name) => name.includes('.lora_')).length} of adapters${fresh.filter((name) => !name.includes('.lora_')).map((name) => `, ${name}`).join('')})`;
  });
  return [`weights from ${folder}`, ...parts];
};

/** The generator, live: trains adapters, skips and the first convolution; the rest lies in the folder and is not saved with a run. */
export const sdTurboGenerator = (config: SdTurboConfig, given: Readonly<Record<string, StateDict>> = {}) => {
  const { rankUnet, rankVae, timestep, sourceRange, text, recompute } = config.generator;
  const { unet, vae, caption, generator: trained = {} } = given;
  if (!unet || !vae) throw new TypeError('sdTurboGenerator: expected the weights of unet and vae but received none');
  const { released } = config;
  const network = pretrainedTurbo({ unet: released.unet, vae: released.vae, ...turboNoise(released), rank: { unet: rankUnet, vae: rankVae }, timestep, sourceRange, learned: text === 'learned' });
  const start = { ...turboStart({ ...unet, ...caption }, vae), ...trained };
  const net = trainedNet(recompute ? checkpointed(network) : network, config, { generator: start }, { trainable: trainsInTurbo, lr: constantWithWarmUp(config.optim.lr, config.optim) });
  return { ...withoutFrozen(net), space: network.vae, origins: origins(released.folder, network.specs, start) };
};
export type SdTurboGenerator = ReturnType<typeof sdTurboGenerator>;


/** What `backward` is told to run: the generator on a frame that `drawNoise` has seen. */
export const generate = (net: (...inputs: [source: tf.Tensor4D, r: tf.Tensor4D, noise: tf.Tensor4D, eps?: tf.Tensor4D, text?: tf.Tensor3D]) => tf.Tensor4D, { source, r, noise, eps, text }: Pair & Prompted & Drawn & Told) =>
  ({ fake: net(source, r, noise, eps, text) });

/** The trained generator on images: one call, all of it the source's. @param embed for captions that differ */
export const translateSdTurbo = (net: SdTurboGenerator, { generator: { posterior } }: Pick<SdTurboConfig, 'generator'>, embed: EmbedPrompts | undefined): Translate => (source, { keys, prompts = keys.map(() => undefined) }) => {
  const [batch, height, width] = source.shape;
  const shape: [number, number, number, number] = [batch, height / net.space.factor, width / net.space.factor, net.space.channels];
  const eps = posterior === 'sample' ? noiseFor(keys, 'posterior', 0, shape) : undefined;
  return applyNet(net, 'shadow')(source, tf.ones([batch, 1, 1, 1]), tf.zeros(shape), eps, embed?.(prompts));
};
