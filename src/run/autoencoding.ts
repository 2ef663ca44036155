/** What methods that train an autoencoder have in common, as members of `Method`. */
import type { z } from 'zod';
import { type Net, applyNet, paramsOf } from '../models/net.ts';
import type { Coded, Noise, Views } from '../models/vae.ts';
import type * as tf from '../tf.ts';
import { type autoencoderOptions, type perceptualOptions, perceptualFiles, vaeOf } from './autoencoderOptions.ts';
import { keepAutoencoder } from './keepAutoencoder.ts';
import type { Part, Purpose, RunContext, Translate } from './method.ts';
import type { imageOptions } from './options.ts';

type Config = Readonly<{ data: z.output<ReturnType<typeof imageOptions>>; network: z.output<ReturnType<typeof autoencoderOptions>>; perceptual: z.output<ReturnType<typeof perceptualOptions>> }>;
type Nets = Readonly<{ vae: Net<[image: tf.Tensor4D, noise?: Noise, views?: Views], Coded> }>;

/**
 * They reconstruct, take architecture and weights of diffusers' folders, and are used as encoder and decoder together (the posterior's mean, averaged weights) or apart.
 */
export const autoencoding = {
  files: ({ perceptual }: Config, purpose: Purpose) => (purpose === 'training' ? perceptualFiles(perceptual) : {}),
  reconstructs: ({ data }: Config) => data.images,
  adopt: <C extends Config>(config: C, model: Readonly<Record<string, unknown>>): C => ({ ...config, network: { ...config.network, model } }),
  translate: ({ vae }: Nets): Translate => (source) => applyNet(vae, 'shadow')(source).output,
  parts: ({ vae }: Nets, { network }: Config): Readonly<Record<'encoder' | 'decoder', Part>> => {
    const { encode, decode, factor, channels } = vaeOf(network).autoencoder;
    return {
      encoder: { run: (image) => encode(paramsOf(vae, 'shadow'), image), channels: 3, factor: 1 },
      decoder: { run: (latent) => decode(paramsOf(vae, 'shadow'), latent), channels, factor },
    };
  },
  multipleOf: ({ network }: Config) => vaeOf(network).autoencoder.factor,
} as const;

/** The end of such a run: what others work in (see `keepAutoencoder`). */
export const leaveAutoencoder = (run: RunContext, { vae }: Nets, { data, network }: Config): Promise<void> =>
  keepAutoencoder(run, vae, vaeOf(network).autoencoder, { size: data.size, batch: data.batch, scaling: network.scaling });
