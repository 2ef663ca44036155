/**
 * The TAESD family in the layout of its original files: two state dicts, here under `encoder.` and `decoder.`. The decoder's clamp takes position 0, so its
 * positions are one higher than in diffusers' layout.
 * @source madebyollin/taesd, `taesd.py`
 */
import * as tf from '../tf.ts';
import { type Autoencoder, buildAutoencoder } from './autoencoder.ts';
import { clampLatent } from './autoencoderTiny.ts';
import { type Module, plain, sequential } from './blocks/sequential.ts';
import { tinyBlock } from './blocks/tinyBlock.ts';
import type { StateDict } from './net.ts';
import { conv2d, upsampleNearest2x } from './nn.ts';

/**
 * `f8`: SD and SDXL (4 channels), SD3 and FLUX.1 (16). `f8Pool`: FLUX.2 (32), with pools in the deepest blocks. `f32`: Sana (32).
 */
export type TaesdVariant = 'f8' | 'f8Pool' | 'f32';

export type TaesdConfig = Readonly<{ variant: TaesdVariant; channels: number }>;

const conv = (from: number, to: number, options: { stride?: number; bias?: boolean } = {}): Module => (place) => conv2d(place, { from, to, padding: 1, ...options });
const blocks = (number: number, width: number, pool = false): Module[] => Array.from({ length: number }, () => (place) => tinyBlock(place, { from: width, to: width, act: tf.relu, pool }));
const relu = plain(tf.relu);
const up = plain(upsampleNearest2x);
const down = conv(64, 64, { stride: 2, bias: false });
const plainConv = (from: number, to: number): Module => conv(from, to, { bias: false });

const encoders: Record<TaesdVariant, (channels: number) => Module[]> = {
  f8: (channels) => [conv(3, 64), ...blocks(1, 64), ...[0, 1, 2].flatMap(() => [down, ...blocks(3, 64)]), conv(64, channels)],
  f8Pool: (channels) => [conv(3, 64), ...blocks(1, 64), ...[0, 1, 2].flatMap((level) => [down, ...blocks(3, 64, level === 2)]), conv(64, channels)],
  f32: (channels) => [
    conv(3, 32, { stride: 2 }), relu, conv(32, 64, { stride: 2 }), relu, ...blocks(1, 64), ...[0, 1, 2].flatMap(() => [down, ...blocks(3, 64)]), conv(64, channels),
  ],
};

const widthsOf: Record<TaesdVariant, readonly number[]> = { f8: [64, 64, 64, 64], f8Pool: [64, 64, 64, 64], f32: [256, 128, 64, 64, 64, 64] };

const decoder = ({ variant, channels }: TaesdConfig): Module[] => {
  const widths = widthsOf[variant];
  const last = widths.length - 1;
  return [
    plain(clampLatent), conv(channels, widths[0] as number), relu,
    ...widths.flatMap((width, level) => (level < last
      ? [...blocks(3, width, variant === 'f8Pool' && level === 0), up, plainConv(width, widths[level + 1] as number)]
      : [...blocks(1, width), conv(width, 3)])),
  ];
};

/**
 * Builds a TAESD autoencoder. Images float32 [B, H, W, 3] in [-1, 1] (the files' own [0, 1] is made on the way); latents about unit variance.
 */
export const taesd = (config: TaesdConfig): Autoencoder<TaesdConfig> => {
  const { variant, channels } = config;
  return buildAutoencoder('TAESD', config, { factor: variant === 'f32' ? 32 : 8, channels, latentScale: { scale: 1, shift: 0 } }, (root) => {
    const encode = sequential(root.at('encoder'), encoders[variant](channels));
    const decode = sequential(root.at('decoder'), decoder(config));
    return {
      encode: (params, image) => encode(params, tf.div(tf.add(image, 1), 2)),
      decode: (params, latent) => tf.sub(tf.mul(decode(params, latent), 2), 1),
    };
  });
};

/** One state dict from the two files of the original distribution. */
export const joinTaesd = (encoder: StateDict, decoder: StateDict): StateDict =>
  Object.fromEntries([...Object.entries(encoder).map(([name, value]) => [`encoder.${name}`, value] as const), ...Object.entries(decoder).map(([name, value]) => [`decoder.${name}`, value] as const)]);
