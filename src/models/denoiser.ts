import * as tf from '../tf.ts';
import type { Corrupted } from '../losses/regress.ts';
import type { Batch } from '../streams/frames.ts';
import type { Latents } from './codec.ts';
import type { ControlResiduals } from './controlNet.ts';
import { retentiveAttention } from './blocks/retentiveAttention.ts';
import type { Network } from './network.ts';
import { type Unet2dParts, unet2d } from './unet2d.ts';

export type DenoiserConfig = Readonly<{
  /** Channels of the space the method works in. */
  channels: number;
  /** Whether the source is shown beside the noisy image. */
  conditioned: boolean;
  /** Width at full resolution, and its multiplier at each resolution. */
  base: number;
  multipliers: readonly number[];
  /** Residual blocks per resolution. */
  depth: number;
  /** Whether the lowest resolution attends. */
  attention: boolean;
  /** Whether that attention fades with distance; it then has heads of 16 channels. */
  retentive?: boolean;
  groups: number;
}>;

/**
 * The one network that all time-conditioned methods share, so that a comparison compares methods: a UNet2DModel that sees the noisy image, and beside it the
 * source where the method wants that.
 *   noisy   float32 [B, H, W, C] @param t float32 [B], about 0..1000 @param source float32 [B, H, W, C]
 *   output  float32 [B, H, W, C]
 * H and W are multiples of 2^(multipliers - 1). What a control network adds goes to its skips and its middle.
 */
export const denoiser = (config: DenoiserConfig): Network<[noisy: tf.Tensor4D, t: tf.Tensor1D, source: tf.Tensor4D, control?: ControlResiduals], tf.Tensor4D> => {
  const network = unet2d(denoiserTrunk(config), denoiserParts(config));
  return { ...network, name: 'denoiser', apply: (params, noisy, t, source, control) => network.apply(params, config.conditioned ? tf.concat([noisy, source], 3) : noisy, t, control) };
};

/** The UNet2DModel behind a denoiser, as its configuration. */
export const denoiserTrunk = ({ channels, conditioned, base, multipliers, depth, attention, retentive = false, groups }: DenoiserConfig): Readonly<Record<string, unknown>> => {
  const widths = multipliers.map((multiplier) => base * multiplier);
  const last = widths.length - 1;
  return {
    in_channels: conditioned ? 2 * channels : channels, out_channels: channels, block_out_channels: widths, layers_per_block: depth,
    down_block_types: widths.map((_, i) => (attention && i === last ? 'AttnDownBlock2D' : 'DownBlock2D')),
    up_block_types: widths.map((_, i) => (attention && i === 0 ? 'AttnUpBlock2D' : 'UpBlock2D')),
    attention_head_dim: retentive ? Math.min(16, widths[last] as number) : widths[last], norm_num_groups: groups, add_attention: attention,
  };
};

/** What of it is not the reference's. */
export const denoiserParts = ({ retentive = false }: Pick<DenoiserConfig, 'retentive'>): Unet2dParts => (retentive ? { attendImage: retentiveAttention } : {});

/** A frame in the space the method works in. */
export type Clean = Batch & Latents;

/** A corrupted frame, with what it was made of. */
export type Seen = Clean & Corrupted;

/** What `backward` is told to run: the network's answer to a corrupted frame. */
export const answer = (net: (noisy: tf.Tensor4D, t: tf.Tensor1D, source: tf.Tensor4D) => tf.Tensor4D, { noisy, t, sourceLatent }: Seen) => ({ output: net(noisy, t, sourceLatent) });
export type Output = ReturnType<typeof answer>;
