/**
 * AutoencoderKL: the variational autoencoder under latent diffusion models (SD 1 and 2, SDXL, SD3, FLUX.1).
 * @source Rombach et al. 2022, arXiv 2112.10752; diffusers `AutoencoderKL`
 */
import { z } from 'zod';
import * as tf from '../tf.ts';
import { type Autoencoder, buildAutoencoder } from './autoencoder.ts';
import { activationNames } from './blocks/activation.ts';
import { klDecoder, klEncoder } from './blocks/klCoder.ts';
import { count, counts, parseModelConfig, refuse, sampleSize } from './modelConfig.ts';
import type { Layer, Params } from './network.ts';
import { conv2d } from './nn.ts';

type Image = tf.Tensor4D;

const numbers = z.array(z.number()).nonempty().nullable();

const schema = z.strictObject({
  in_channels: count.default(3),
  out_channels: count.default(3),
  down_block_types: z.array(z.enum(['DownEncoderBlock2D', 'AttnDownEncoderBlock2D'])).nonempty().default(['DownEncoderBlock2D']),
  up_block_types: z.array(z.enum(['UpDecoderBlock2D', 'AttnUpDecoderBlock2D'])).nonempty().default(['UpDecoderBlock2D']),
  block_out_channels: counts.default([64]),
  layers_per_block: count.default(1),
  act_fn: z.enum(activationNames).default('silu'),
  latent_channels: count.default(4),
  norm_num_groups: count.default(32),
  sample_size: sampleSize.default(32),
  scaling_factor: z.number().default(0.18215),
  shift_factor: z.number().nullable().default(null),
  latents_mean: numbers.default(null),
  latents_std: numbers.default(null),
  force_upcast: z.boolean().default(true),
  use_quant_conv: z.boolean().default(true),
  use_post_quant_conv: z.boolean().default(true),
  mid_block_add_attention: z.boolean().default(true),
});

/** Fields of diffusers' `AutoencoderKL`. `sample_size` (of tiles) and `force_upcast` have no effect here. */
export type AutoencoderKlConfig = z.output<typeof schema>;

/** The diagonal Gaussian of latents, all float32 [B, h, w, C]; logvar is clamped to [-30, 20]. */
export type Posterior = Readonly<{ mean: Image; logvar: Image; std: Image }>;

export type AutoencoderKl = Autoencoder<AutoencoderKlConfig> & Readonly<{
  /** Mean and log variance before clamping: [B, h, w, 2C]. */
  moments: Layer<[image: Image], Image>;
  posterior: Layer<[image: Image], Posterior>;
  /** Moments, and what went into each level of the encoder, from full resolution. */
  momentsWithFeatures: Layer<[image: Image], Readonly<{ moments: Image; features: readonly Image[] }>>;
  /** `decode` with something added to what goes into each level of the decoder, from the lowest resolution. */
  decodeWithSkips: Layer<[latent: Image, skips: readonly Image[]], Image>;
}>;

/** Splits moments into a posterior. */
export const posteriorOf = (moments: Image): Posterior => {
  const [mean, raw] = tf.split(moments, 2, 3) as [Image, Image];
  const logvar = tf.clipByValue(raw, -30, 20);
  return { mean, logvar, std: tf.exp(tf.mul(logvar, 0.5)) };
};

/** z = mean + std * noise; the noise comes in, so that the graph is the same at every step. */
export const samplePosterior = ({ mean, std }: Posterior, noise: Image): Image => tf.add(mean, tf.mul(std, noise));

/**
 * KL divergence to the unit normal, summed over each image: float32 [B].
 * @source Kingma and Welling 2013, arXiv 1312.6114, appendix B
 */
export const klDivergence = ({ mean, logvar }: Posterior): tf.Tensor1D =>
  tf.mul(tf.sum(tf.sub(tf.sub(tf.add(tf.square(mean), tf.exp(logvar)), 1), logvar), [1, 2, 3]), 0.5);

/** How the configuration brings latents to about unit variance. Means and deviations, where given, come before the factor, as in the pipelines that use them. */
const latentScaleOf = ({ scaling_factor: factor, shift_factor: shift, latents_mean: mean, latents_std: std }: AutoencoderKlConfig): Autoencoder['latentScale'] =>
  (mean === null || std === null ? { scale: factor, shift: shift ?? 0 } : { scale: std.map((s) => factor / s), shift: mean });

/**
 * Builds an AutoencoderKL. Images float32 [B, H, W, 3] in [-1, 1], no output activation; latents [B, H / f, W / f, C] with f = 2^(levels - 1). `encode`
 * gives the posterior's mean.
 * @throws ConfigError for an unknown field or a value that does not fit
 */
export const autoencoderKl = (raw: Readonly<Record<string, unknown>> = {}): AutoencoderKl => {
  const config = parseModelConfig('AutoencoderKL', schema, raw);
  const { block_out_channels: widths, latent_channels: channels, down_block_types: down, up_block_types: up } = config;
  for (const [field, types] of [['down_block_types', down], ['up_block_types', up]] as const) {
    if (types.length !== widths.length) refuse('AutoencoderKL', field, types, `has ${types.length} levels but block_out_channels has ${widths.length}`);
  }
  for (const field of ['latents_mean', 'latents_std'] as const) {
    if (config[field] !== null && config[field].length !== channels) refuse('AutoencoderKL', field, config[field], `should have ${channels} values, one per latent channel`);
  }
  const common = { widths, layers: config.layers_per_block, groups: config.norm_num_groups, act: config.act_fn, midAttention: config.mid_block_add_attention };
  return buildAutoencoder('AutoencoderKL', config, { factor: 2 ** (widths.length - 1), channels, latentScale: latentScaleOf(config) }, (root) => {
    const encoder = klEncoder(root.at('encoder'), { ...common, imageChannels: config.in_channels, latentChannels: 2 * channels, attentive: down.map((type) => type === 'AttnDownEncoderBlock2D') });
    const decoder = klDecoder(root.at('decoder'), { ...common, imageChannels: config.out_channels, latentChannels: channels, attentive: up.map((type) => type === 'AttnUpDecoderBlock2D') });
    const quant = config.use_quant_conv ? conv2d(root.at('quant_conv'), { from: 2 * channels, to: 2 * channels, kernel: 1 }) : undefined;
    const postQuant = config.use_post_quant_conv ? conv2d(root.at('post_quant_conv'), { from: channels, to: channels, kernel: 1 }) : undefined;
    const quantised: Layer<[Image], Image> = (params, h) => (quant ? quant(params, h) : h);
    const moments: AutoencoderKl['moments'] = (params, image) => quantised(params, encoder.apply(params, image));
    const decodeWith = (params: Params, latent: Image, skips?: readonly Image[]): Image => decoder(params, postQuant ? postQuant(params, latent) : latent, skips);
    const posterior: AutoencoderKl['posterior'] = (params, image) => posteriorOf(moments(params, image));
    return {
      moments, posterior,
      encode: (params, image) => posterior(params, image).mean,
      momentsWithFeatures: (params, image) => {
        const { latent, features } = encoder.withFeatures(params, image);
        return { moments: quantised(params, latent), features };
      },
      decode: (params, latent) => decodeWith(params, latent),
      decodeWithSkips: decodeWith,
    };
  });
};
