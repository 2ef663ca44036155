/**
 * AutoencoderTiny in diffusers' layout (see `taesd.ts` for the original files'): a few plain convolutions each way, no normalisation. Latents are already
 * scaled like those of the large autoencoder it imitates, so its own scaling factor is 1.
 * @source madebyollin/taesd; diffusers `AutoencoderTiny`
 */
import { z } from 'zod';
import * as tf from '../tf.ts';
import { type Autoencoder, buildAutoencoder } from './autoencoder.ts';
import { activation, activationNames } from './blocks/activation.ts';
import { type Module, plain, sequential } from './blocks/sequential.ts';
import { tinyBlock } from './blocks/tinyBlock.ts';
import { upsampleBilinear, upsampleNearest } from './blocks/upsample.ts';
import { count, counts, parseModelConfig, refuse } from './modelConfig.ts';
import { conv2d } from './nn.ts';

type Image = tf.Tensor4D;

const blockCounts = z.array(z.int().nonnegative()).nonempty();

const schema = z.strictObject({
  in_channels: count.default(3),
  out_channels: count.default(3),
  encoder_block_out_channels: counts.default([64, 64, 64, 64]),
  decoder_block_out_channels: counts.default([64, 64, 64, 64]),
  act_fn: z.enum(activationNames).default('relu'),
  upsample_fn: z.enum(['nearest', 'bilinear']).default('nearest'),
  latent_channels: count.default(4),
  upsampling_scaling_factor: count.default(2),
  num_encoder_blocks: blockCounts.default([1, 3, 3, 3]),
  num_decoder_blocks: blockCounts.default([3, 3, 3, 1]),
  latent_magnitude: z.number().default(3),
  latent_shift: z.number().default(0.5),
  force_upcast: z.boolean().default(false),
  scaling_factor: z.number().default(1),
  shift_factor: z.number().default(0),
  block_out_channels: z.array(count).optional(),
});

/** Fields of diffusers' `AutoencoderTiny`. `block_out_channels` repeats the decoder's; `force_upcast` has no effect in float32. */
export type AutoencoderTinyConfig = z.output<typeof schema>;

/** 3 tanh(z / 3): a decoder sees its latents within -3..3. */
export const clampLatent = (z: Image): Image => tf.mul(tf.tanh(tf.div(z, 3)), 3);

/** Latents rounded to bytes and back, as diffusers' forward pass has it: s = clamp(z / 2m + shift, 0, 1). No gradient flows through the rounding. */
export const quantiseLatent = (z: Image, { latent_magnitude: m = 3, latent_shift: shift = 0.5 }: Partial<Pick<AutoencoderTinyConfig, 'latent_magnitude' | 'latent_shift'>> = {}): Image => {
  const bytes = tf.round(tf.mul(tf.clipByValue(tf.add(tf.div(z, 2 * m), shift), 0, 1), 255));
  return tf.mul(tf.sub(tf.div(bytes, 255), shift), 2 * m);
};

/**
 * Builds an AutoencoderTiny. Images float32 [B, H, W, 3] in [-1, 1]; latents [B, H / f, W / f, C], f = 8 at the default four levels.
 * @throws ConfigError for an unknown field or a value that does not fit
 */
export const autoencoderTiny = (raw: Readonly<Record<string, unknown>> = {}): Autoencoder<AutoencoderTinyConfig> => {
  const config = parseModelConfig('AutoencoderTiny', schema, raw);
  for (const side of ['encoder', 'decoder'] as const) {
    const [widths, blocks] = [config[`${side}_block_out_channels`], config[`num_${side}_blocks`]];
    if (widths.length !== blocks.length) refuse('AutoencoderTiny', `num_${side}_blocks`, blocks, `has ${blocks.length} levels but ${side}_block_out_channels has ${widths.length}`);
    if (widths.some((width) => width !== widths[0])) refuse('AutoencoderTiny', `${side}_block_out_channels`, widths, 'changes its width, which the reference\'s layout cannot do');
  }
  const act = activation(config.act_fn);
  const block = (width: number): Module => (place) => tinyBlock(place, { from: width, to: width, act });
  const conv = (from: number, to: number, options: { stride?: number; bias?: boolean } = {}): Module => (place) => conv2d(place, { from, to, padding: 1, ...options });
  const factor = config.upsampling_scaling_factor;
  const enlarge = plain((x) => (config.upsample_fn === 'nearest' ? upsampleNearest(x, factor) : upsampleBilinear(x, factor)));
  const blocks = (number: number, width: number): Module[] => Array.from({ length: number }, () => block(width));
  const { in_channels, out_channels, latent_channels, num_encoder_blocks, num_decoder_blocks } = config;
  const inner = config.encoder_block_out_channels[0] as number;
  const outer = config.decoder_block_out_channels[0] as number;
  return buildAutoencoder('AutoencoderTiny', config, {
    factor: 2 ** (num_encoder_blocks.length - 1), channels: latent_channels, latentScale: { scale: config.scaling_factor, shift: config.shift_factor },
  }, (root) => {
    const encoder = sequential(root.at('encoder.layers'), [
      ...num_encoder_blocks.flatMap((number, level) => [level === 0 ? conv(in_channels, inner) : conv(inner, inner, { stride: 2, bias: false }), ...blocks(number, inner)]),
      conv(inner, latent_channels),
    ]);
    const decoder = sequential(root.at('decoder.layers'), [
      conv(latent_channels, outer), plain(act),
      ...num_decoder_blocks.flatMap((number, level) => [
        ...blocks(number, outer), ...(level < num_decoder_blocks.length - 1 ? [enlarge, conv(outer, outer, { bias: false })] : [conv(outer, out_channels)]),
      ]),
    ]);
    return {
      encode: root.at('encoder').tapped((params, image) => encoder(params, tf.div(tf.add(image, 1), 2))),
      decode: root.at('decoder').tapped((params, latent) => tf.sub(tf.mul(decoder(params, clampLatent(latent)), 2), 1)),
    };
  });
};
