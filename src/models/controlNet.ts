/**
 * ControlNetModel: a copy of a conditional UNet's way down that sees an image, too, and hands the UNet one residual per skip.
 * @source Zhang et al. 2023, arXiv 2302.05543; diffusers `ControlNetModel`
 */
import { z } from 'zod';
import * as tf from '../tf.ts';
import { sinusoids, timestepMlp } from './blocks/embeddings.ts';
import { sequential } from './blocks/sequential.ts';
import type { DownType } from './blocks/unetBlocks.ts';
import { type Conditions, conditionLayers } from './blocks/unetConditions.ts';
import { descent } from './blocks/unetTrunk.ts';
import { zeros } from './init.ts';
import { count, counts, oneOrMany, parseModelConfig, refuse } from './modelConfig.ts';
import type { StateDict } from './net.ts';
import { type Layer, type Network, type Scope, buildNetwork } from './network.ts';
import { conv2d, silu } from './nn.ts';
import { type TrunkFields, type Unet2dConditionConfig, checkTrunk, downLevels, midOptions, sharedFields, styleOf } from './unet2dConditionConfig.ts';

type Image = tf.Tensor4D;

const model = 'ControlNetModel';

const schema = z.strictObject({
  ...sharedFields,
  layers_per_block: count.default(2),
  mid_block_type: z.enum(['UNetMidBlock2DCrossAttn', 'UNetMidBlock2D']).default('UNetMidBlock2DCrossAttn'),
  cross_attention_dim: count.default(1280),
  // The reference registers projections for these, but its forward pass never runs them.
  encoder_hid_dim: z.null().default(null),
  encoder_hid_dim_type: z.null().default(null),
  class_embed_type: z.enum(['timestep', 'identity', 'projection']).nullable().default(null),
  addition_embed_type: z.enum(['text', 'text_time']).nullable().default(null),
  conditioning_channels: count.default(3),
  controlnet_conditioning_channel_order: z.enum(['rgb', 'bgr']).default('rgb'),
  conditioning_embedding_out_channels: counts.default([16, 32, 96, 256]),
  global_pool_conditions: z.boolean().default(false),
  num_attention_heads: oneOrMany(count).nullable().default(null),
});

/** Fields of diffusers' `ControlNetModel`. */
export type ControlNetConfig = z.output<typeof schema>;

export type ControlNetGiven = Conditions & Readonly<{
  /** The image to follow: float32 [B, f H, f W, 3] in [0, 1], with f = 2^(stages of the image's embedding - 1), 8 by default. */
  controlImage: Image;
  /** What all residuals are multiplied by; 1 by default. */
  strength?: number | tf.Scalar;
  /** Weakens shallow residuals, from a tenth up to all of `strength`, for use without text. */
  guess?: boolean;
}>;

/** One residual per skip of the UNet, shallow to deep, and the middle's: what `unet2dCondition` takes. */
export type ControlResiduals = Readonly<{ downResiduals: readonly Image[]; midResidual: Image }>;

export type ControlNet = Network<[sample: Image, timestep: tf.Tensor, given: ControlNetGiven], ControlResiduals> & Readonly<{ config: ControlNetConfig }>;

/** Convolutions from the image to the first feature map; the last starts at zero. @source diffusers `ControlNetConditioningEmbedding` */
const imageEmbedding = (scope: Scope, { channels, widths, to }: { channels: number; widths: readonly number[]; to: number }): Layer<[Image], Image> => {
  const convIn = conv2d(scope.at('conv_in'), { from: channels, to: widths[0] as number, padding: 1 });
  const blocks = sequential({ ...scope.at('blocks'), tapped: (layer) => layer }, widths.slice(0, -1).flatMap((from, i) => [
    (place: Scope) => conv2d(place, { from, to: from, padding: 1 }),
    (place: Scope) => conv2d(place, { from, to: widths[i + 1] as number, stride: 2, padding: 1 }),
  ]).map((conv) => (place: Scope) => {
    const layer = conv(place);
    return (params, x) => silu(layer(params, x));
  }));
  const convOut = conv2d(scope.at('conv_out'), { from: widths.at(-1) as number, to, padding: 1, init: zeros, biasInit: zeros });
  return scope.tapped((params, image) => convOut(params, blocks(params, silu(convIn(params, image)))));
};

const trunkOf = (config: ControlNetConfig): TrunkFields => ({
  ...config, attention_head_dim: config.num_attention_heads ?? config.attention_head_dim,
  resnet_skip_time_act: false, resnet_out_scale_factor: 1, mid_block_only_cross_attention: false, cross_attention_norm: null, class_embeddings_concat: false,
});

/** Residuals times strength, and weaker the shallower in guess mode; means over positions where the configuration pools. */
const weighed = (residuals: readonly Image[], { strength = 1, guess = false }: ControlNetGiven, pool: boolean): Image[] => residuals.map((residual, i) => {
  const graded = guess && !pool ? tf.mul<Image>(residual, 10 ** (i / (residuals.length - 1) - 1)) : residual;
  const scaled = strength === 1 ? graded : tf.mul<Image>(graded, strength);
  return pool ? tf.mean(scaled, [1, 2], true) as Image : scaled;
});

/**
 * Builds a ControlNetModel: `(sample, timestep, given) -> residuals`. The zero convolutions start at zero, so that an untrained one changes nothing.
 *   sample    float32 [B, H, W, in_channels], what the UNet is given, and `timestep` and tokens likewise
 * @throws ConfigError for an unknown field or a value that does not fit
 */
export const controlNet = (raw: Readonly<Record<string, unknown>> = {}): ControlNet => {
  const config = parseModelConfig(model, schema, raw);
  const trunk = trunkOf(config);
  checkTrunk(model, trunk);
  const { block_out_channels: widths, layers_per_block: layers } = config;
  const base = widths[0] as number;
  const network = buildNetwork<[Image, tf.Tensor, ControlNetGiven], ControlResiduals>(model, config, (root) => {
    const convIn = conv2d(root.at('conv_in'), { from: config.in_channels, to: base, padding: 1 });
    const time = { project: root.at('time_proj').tapped((_params, t: tf.Tensor) => sinusoids(t, base, { cosFirst: config.flip_sin_to_cos, freqShift: config.freq_shift })), size: base, dim: base * 4 };
    const embed = timestepMlp(root.at('time_embedding'), { from: base, to: time.dim, act: config.act_fn });
    // Class embeddings of times take SiLU whatever `act_fn` says, as in the reference.
    const conditions = conditionLayers(root, model, { ...trunk, act_fn: 'silu' }, time);
    const embedImage = imageEmbedding(root.at('controlnet_cond_embedding'), { channels: config.conditioning_channels, widths: config.conditioning_embedding_out_channels, to: base });
    const down = descent(root, { widths, down: config.down_block_types as DownType[], levels: downLevels(model, trunk), mid: midOptions(trunk), style: styleOf(trunk, time.dim) });
    const skips = [base, ...widths.flatMap((width, i) => Array.from({ length: layers + (i < widths.length - 1 ? 1 : 0) }, () => width))];
    const zeroConv = (scope: Scope, width: number): Layer<[Image], Image> => conv2d(scope, { from: width, to: width, kernel: 1, init: zeros, biasInit: zeros });
    const zeroConvs = skips.map((width, i) => zeroConv(root.at('controlnet_down_blocks').at(i), width));
    const midConv = zeroConv(root.at('controlnet_mid_block'), widths.at(-1) as number);
    return (params, sample, timestep, given: ControlNetGiven) => {
      const t = tf.mul(tf.reshape(timestep, [-1]), tf.ones([sample.shape[0]]));
      const { hint: _none, ...attended } = conditions(params, embed(params, time.project(params, t)), given);
      const image = config.controlnet_conditioning_channel_order === 'bgr' ? reversedChannels(given.controlImage) : given.controlImage;
      const entry = tf.add<Image>(convIn(params, sample), embedImage(params, image));
      const { x, residuals } = down(params, entry, { ...attended, temb: attended.temb as tf.Tensor2D }, sample);
      const made = [...residuals.map((residual, i) => (zeroConvs[i] as Layer<[Image], Image>)(params, residual)), midConv(params, x)];
      const all = weighed(made, given, config.global_pool_conditions);
      return { downResiduals: all.slice(0, -1), midResidual: all.at(-1) as Image };
    };
  });
  return { ...network, config };
};

const reversedChannels = (image: Image): Image => tf.concat((tf.split(image, image.shape[3], 3) as Image[]).toReversed(), 3);

/** The configuration of a ControlNet for a UNet. */
export const controlConfigOf = (unet: Unet2dConditionConfig, own: Readonly<Record<string, unknown>> = {}): Record<string, unknown> => {
  const fields = Object.keys(schema.shape).filter((field) => field in unet);
  const { layers_per_block: layers } = unet;
  if (typeof layers !== 'number' && layers.some((n) => n !== layers[0])) refuse(model, 'layers_per_block', layers, 'differs from level to level, which a ControlNet cannot');
  return { ...Object.fromEntries(fields.map((field) => [field, unet[field as keyof Unet2dConditionConfig]])), layers_per_block: typeof layers === 'number' ? layers : layers[0], ...own };
};

/** The part of a UNet's weights that a ControlNet starts from: everything both have under the same name. */
export const controlStart = (network: ControlNet, unet: StateDict): StateDict => Object.fromEntries(Object.entries(unet).filter(([name]) => network.specs.has(name)));
