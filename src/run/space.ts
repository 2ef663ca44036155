/** The space a method works in: pixels, or the latents of a frozen autoencoder whose files the configuration names. */
import { stat } from 'node:fs/promises';
import * as E from 'fp-ts/lib/Either.js';
import { z } from 'zod';
import { ConfigError } from '../errors.ts';
import { type Autoencoder, codecOf } from '../models/autoencoder.ts';
import { autoencoderOf } from '../models/autoencoders.ts';
import { type Codec, identity } from '../models/codec.ts';
import { type StateDict, givenNet } from '../models/net.ts';
import { joinTaesd, taesd } from '../models/taesd.ts';
import { fromLdm, isLdm } from '../models/weights/ldmNames.ts';
import { openTaesd, taesdConfigOf } from '../models/weights/taesdFiles.ts';
import type { Resource } from '../streams/scoped.ts';
import { checksumOf, findAutoencoder } from './autoencoderFiles.ts';
import { filledInBy } from './fillIn.ts';

const options = z.object({
  autoencoder: z.string().default('').describe('an autoencoder to work in: a run of vae, or a folder of diffusers; without one the method works on pixels').meta({ value: 'PATH' }),
  encoder: z.string().default('').describe('weights file of a TAESD-family encoder, in place of latent.autoencoder').meta({ value: 'FILE' }),
  decoder: z.string().default('').describe('weights file of its decoder').meta({ value: 'FILE' }),
  factor: z.number().int().min(1).default(8).describe('pixels per latent cell along one side; follows from the files'),
  model: z.record(z.string(), z.unknown()).default({}).describe('the autoencoder\'s config.json; follows from the files'),
  checksum: z.string().default('').describe('SHA-256 of the files; filled in, and a run that goes on refuses others'),
});
type Latent = z.output<typeof options>;

const checked = async (latent: Latent, files: readonly string[]): Promise<string> => {
  const checksum = await checksumOf(files);
  if (latent.checksum !== '' && latent.checksum !== checksum) {
    const name = latent.autoencoder || `${latent.encoder} and ${latent.decoder}`;
    throw new ConfigError('latent', `${name}: expected the autoencoder that this run was trained with (${latent.checksum.slice(0, 12)}) but it has changed (${checksum.slice(0, 12)})`);
  }
  return checksum;
};

/** Factor, configuration and checksum from the files; a link such as `runs/vae/latest` becomes the run it leads to. */
const fillIn = async (latent: Latent): Promise<Latent> => {
  const { autoencoder, encoder, decoder } = latent;
  if (autoencoder !== '' && encoder + decoder !== '') throw new ConfigError('latent', 'latent: expected either latent.autoencoder or latent.encoder with latent.decoder but received both');
  if (autoencoder !== '') {
    const { path, model, weights } = await findAutoencoder(autoencoder);
    return { ...latent, autoencoder: path, model, factor: autoencoderOf(model).factor, checksum: await checked(latent, weights) };
  }
  if (encoder === '' && decoder === '') return latent;
  if (encoder === '' || decoder === '') throw new ConfigError('latent', `latent: expected latent.encoder and latent.decoder but received only the ${encoder === '' ? 'decoder' : 'encoder'}`);
  const opened = await openTaesd(encoder, decoder)();
  if (E.isLeft(opened)) throw opened.left;
  const { factor, config } = opened.right.autoencoder;
  return { ...latent, factor, model: { _class_name: 'TAESD', ...config }, checksum: await checked(latent, [encoder, decoder]) };
};

const isNamed = ({ autoencoder, encoder, decoder }: Latent): boolean => autoencoder + encoder + decoder !== '';

/** Whether what an earlier run filled in still lies where it was. */
const isThere = ({ autoencoder, encoder, decoder }: Latent): Promise<boolean> =>
  Promise.all([autoencoder, encoder, decoder].filter((path) => path !== '').map((path) => stat(path))).then(() => true, () => false);

/**
 * Where the autoencoder comes from; pixels when no files are named.
 * @param given.standIn an autoencoder for methods that only learn from one: taken where none is named. What they have learned can be used without it, so that one
 *   known from an earlier run may be gone: only training reads its files
 */
export const latentOptions = ({ standIn }: { standIn?: string } = {}): typeof options => (standIn === undefined ? filledInBy(options, fillIn)
  : filledInBy(options.extend({ autoencoder: options.shape.autoencoder.describe(`an autoencoder: a run of vae, or a folder of diffusers; a small one of this project's without it`) }),
    async (latent) => (latent.checksum !== '' && !await isThere(latent) ? latent : fillIn(isNamed(latent) ? latent : { ...latent, autoencoder: standIn }))));

/** The files to read, by the names `workingSpace` looks for. */
export const latentFiles = ({ autoencoder, encoder, decoder }: Latent): Readonly<Record<string, readonly string[]>> => ({
  ...(autoencoder !== '' && { latentAutoencoder: [autoencoder] }), ...(encoder !== '' && { latentEncoder: [encoder] }), ...(decoder !== '' && { latentDecoder: [decoder] }),
});

/** Pixels that the latent space asks for a multiple of. */
export const latentMultiple = ({ autoencoder, encoder, factor }: Latent): number => (autoencoder + encoder === '' ? 1 : factor);

type Weights = Readonly<{ autoencoder: Autoencoder; state: StateDict }>;

const whole = ({ model }: Latent, state: StateDict): Weights => {
  const autoencoder = autoencoderOf(model);
  return { autoencoder, state: isLdm(state) ? fromLdm(autoencoder, state) : state };
};

const halves = (encoder: StateDict | undefined, decoder: StateDict | undefined): Weights => {
  if (!encoder || !decoder) throw new TypeError(`workingSpace: expected latent.encoder and latent.decoder but received only the ${encoder ? 'encoder' : 'decoder'}`);
  const config = taesdConfigOf(decoder);
  if (!config) throw new TypeError('workingSpace: expected latent.decoder to be a decoder of the TAESD family but it has no 1.weight');
  return { autoencoder: taesd(config), state: joinTaesd(encoder, decoder) };
};

/**
 * The space, as a resource: an autoencoder's weights are freed with the run and not saved.
 * @param latent filled in (see `filledIn`) where it names an autoencoder
 * @param given weights by the names of `latentFiles`
 * @throws TypeError when only one of two files is given, or they are not of the TAESD family or of another factor than configured; ConfigError for a
 *   configuration that is none of an autoencoder
 */
export const workingSpace = (latent: Latent, given: Readonly<Record<string, StateDict>> = {}): Resource & Readonly<{ codec: Codec }> => {
  const { latentAutoencoder, latentEncoder, latentDecoder } = given;
  if (!latentAutoencoder && !latentEncoder && !latentDecoder) return { variables: {}, codec: identity };
  const { autoencoder, state } = latentAutoencoder ? whole(latent, latentAutoencoder) : halves(latentEncoder, latentDecoder);
  if (autoencoder.factor !== latent.factor) throw new TypeError(`workingSpace: expected latent.factor to be ${autoencoder.factor}, that of the given autoencoder, but received ${latent.factor}`);
  const { variables, constants, net } = givenNet(autoencoder, state);
  return { variables, constants, codec: codecOf(net, autoencoder) };
};
