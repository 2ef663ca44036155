/** The space a method works in: pixels, or the latents of a frozen tiny autoencoder whose files the configuration names. */
import { z } from 'zod';
import { codecOf } from '../models/autoencoder.ts';
import { type Codec, identity } from '../models/codec.ts';
import { type StateDict, givenNet } from '../models/net.ts';
import { joinTaesd, taesd } from '../models/taesd.ts';
import { taesdConfigOf } from '../models/weights/taesdFiles.ts';
import type { Resource } from '../streams/scoped.ts';

/** Where the autoencoder comes from; pixels when no files are named. */
export const latentOptions = () => z.object({
  encoder: z.string().default('').describe('weights file of a TAESD-family encoder; none works on pixels').meta({ value: 'FILE' }),
  decoder: z.string().default('').describe('weights file of its decoder').meta({ value: 'FILE' }),
  factor: z.number().int().min(1).default(8).describe('pixels per latent cell along one side; 32 for the f32 family'),
});
type Latent = z.output<ReturnType<typeof latentOptions>>;

/** The files to read, by the names `workingSpace` looks for. */
export const latentFiles = ({ encoder, decoder }: Latent): Readonly<Record<string, readonly string[]>> => ({
  ...(encoder !== '' && { latentEncoder: [encoder] }), ...(decoder !== '' && { latentDecoder: [decoder] }),
});

/** Pixels that the latent space asks for a multiple of. */
export const latentMultiple = ({ encoder, factor }: Latent): number => (encoder === '' ? 1 : factor);

/**
 * The space, as a resource: an autoencoder's weights are freed with the run and not saved.
 * @param given weights by the names of `latentFiles`
 * @throws TypeError when only one of two files is given, or they are not of the TAESD family or of another factor than configured
 */
export const workingSpace = ({ factor }: Latent, given: Readonly<Record<string, StateDict>> = {}): Resource & Readonly<{ codec: Codec }> => {
  const { latentEncoder: encoder, latentDecoder: decoder } = given;
  if (!encoder && !decoder) return { variables: {}, codec: identity };
  if (!encoder || !decoder) throw new TypeError(`workingSpace: expected latent.encoder and latent.decoder but received only the ${encoder ? 'encoder' : 'decoder'}`);
  const config = taesdConfigOf(decoder);
  if (!config) throw new TypeError('workingSpace: expected latent.decoder to be a decoder of the TAESD family but it has no 1.weight');
  const autoencoder = taesd(config);
  if (autoencoder.factor !== factor) throw new TypeError(`workingSpace: expected latent.factor to be ${autoencoder.factor}, that of the given autoencoder, but received ${factor}`);
  const { variables, constants, net } = givenNet(autoencoder, joinTaesd(encoder, decoder));
  return { variables, constants, codec: codecOf(net, autoencoder) };
};
