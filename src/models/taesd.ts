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

export type TaesdConfig = Readonly<{
  variant: TaesdVariant;
  channels: number;
  /** Smaller relatives of `f8` and `f8Pool`, for small images and small machines: width (64), blocks of each level but the outermost (3), halvings (3). */
  width?: number;
  blocks?: number;
  halvings?: number;
}>;

const conv = (from: number, to: number, options: { stride?: number; bias?: boolean } = {}): Module => (place) => conv2d(place, { from, to, padding: 1, ...options });
const blocks = (number: number, width: number, pool = false): Module[] => Array.from({ length: number }, () => (place) => tinyBlock(place, { from: width, to: width, act: tf.relu, pool }));
const relu = plain(tf.relu);
const up = plain(upsampleNearest2x);
const down = (width: number): Module => conv(width, width, { stride: 2, bias: false });
const sizesOf = ({ width = 64, blocks = 3, halvings = 3 }: TaesdConfig): Readonly<{ width: number; blocks: number; halvings: number }> => ({ width, blocks, halvings });
const levelsOf = (config: TaesdConfig): number[] => Array.from({ length: sizesOf(config).halvings }, (_, i) => i);
const plainConv = (from: number, to: number): Module => conv(from, to, { bias: false });

const encoder = (config: TaesdConfig): Module[] => {
  const { variant, channels } = config;
  const { width, blocks: number, halvings } = sizesOf(config);
  if (variant === 'f32') return [conv(3, 32, { stride: 2 }), relu, conv(32, 64, { stride: 2 }), relu, ...blocks(1, 64), ...[0, 1, 2].flatMap(() => [down(64), ...blocks(3, 64)]), conv(64, channels)];
  return [conv(3, width), ...blocks(1, width), ...levelsOf(config).flatMap((level) => [down(width), ...blocks(number, width, variant === 'f8Pool' && level === halvings - 1)]), conv(width, channels)];
};

const decoder = (config: TaesdConfig): Module[] => {
  const { variant, channels } = config;
  const { width, blocks: number } = sizesOf(config);
  const widths = variant === 'f32' ? [256, 128, 64, 64, 64, 64] : [...levelsOf(config).map(() => width), width];
  const last = widths.length - 1;
  return [
    plain(clampLatent), conv(channels, widths[0] as number), relu,
    ...widths.flatMap((width, level) => (level < last
      ? [...blocks(number, width, variant === 'f8Pool' && level === 0), up, plainConv(width, widths[level + 1] as number)]
      : [...blocks(1, width), conv(width, 3)])),
  ];
};

/**
 * Builds a TAESD autoencoder. Images float32 [B, H, W, 3] in [-1, 1] (the files' own [0, 1] is made on the way); latents about unit variance.
 * @throws RangeError when sizes are given to `f32`
 */
export const taesd = (config: TaesdConfig): Autoencoder<TaesdConfig> => {
  const { variant, channels } = config;
  if (variant === 'f32' && (config.width ?? config.blocks ?? config.halvings) !== undefined) throw new RangeError('taesd: expected the published sizes of f32 but received others');
  return buildAutoencoder('TAESD', config, { factor: variant === 'f32' ? 32 : 2 ** sizesOf(config).halvings, channels, latentScale: { scale: 1, shift: 0 } }, (root) => {
    const encode = sequential(root.at('encoder'), encoder(config));
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
