/**
 * UNet2DModel: the unconditional (or class-conditional) denoiser of DDPM, NCSN++ and their kin. For image-to-image the source is concatenated to the noisy image.
 * @source Ho et al. 2020, arXiv 2006.11239; Song et al. 2020, arXiv 2011.13456; diffusers `UNet2DModel`
 */
import { z } from 'zod';
import * as tf from '../tf.ts';
import { activationNames } from './blocks/activation.ts';
import { embeddingTable, gaussianFourier, sinusoids, timestepMlp } from './blocks/embeddings.ts';
import { type DownType, type UnetLevel, type UnetStyle, type UpType, attendsToTokens, carriesSkipImage, downTypes, upTypes } from './blocks/unetBlocks.ts';
import { type Added, type Descent, ascent, descent } from './blocks/unetTrunk.ts';
import { blockType, count, counts, parseModelConfig, refuse, sampleSize } from './modelConfig.ts';
import { type Layer, type Network, type Scope, buildNetwork } from './network.ts';
import { conv2d, groupNorm, silu } from './nn.ts';

type Image = tf.Tensor4D;

const model = 'UNet2DModel';

const schema = z.strictObject({
  sample_size: sampleSize.default(null),
  in_channels: count.default(3),
  out_channels: count.default(3),
  center_input_sample: z.boolean().default(false),
  time_embedding_type: z.enum(['positional', 'fourier', 'learned']).default('positional'),
  time_embedding_dim: count.nullable().default(null),
  freq_shift: z.number().default(0),
  flip_sin_to_cos: z.boolean().default(true),
  down_block_types: z.array(blockType(downTypes)).nonempty().default(['DownBlock2D', 'AttnDownBlock2D', 'AttnDownBlock2D', 'AttnDownBlock2D']),
  mid_block_type: z.literal('UNetMidBlock2D').nullable().default('UNetMidBlock2D'),
  up_block_types: z.array(blockType(upTypes)).nonempty().default(['AttnUpBlock2D', 'AttnUpBlock2D', 'AttnUpBlock2D', 'UpBlock2D']),
  block_out_channels: counts.default([224, 448, 672, 896]),
  layers_per_block: count.default(2),
  mid_block_scale_factor: z.number().default(1),
  downsample_padding: z.int().min(0).max(1).default(1),
  downsample_type: z.enum(['conv', 'resnet']).default('conv'),
  upsample_type: z.enum(['conv', 'resnet']).default('conv'),
  dropout: z.number().default(0),
  act_fn: z.enum(activationNames).default('silu'),
  attention_head_dim: count.nullable().default(8),
  norm_num_groups: count.nullable().default(32),
  attn_norm_num_groups: count.nullable().default(null),
  norm_eps: z.number().default(1e-5),
  resnet_time_scale_shift: z.enum(['default', 'scale_shift']).default('default'),
  add_attention: z.boolean().default(true),
  class_embed_type: z.enum(['timestep', 'identity']).nullable().default(null),
  num_class_embeds: count.nullable().default(null),
  num_train_timesteps: count.nullable().default(null),
});

/** Fields of diffusers' `UNet2DModel`. `dropout` is the identity here, as the reference is in evaluation mode; `sample_size` is informative. */
export type Unet2dConfig = z.output<typeof schema>;

/**
 * What a UNet2D is given beside image and time: int32 [B] class labels, or, as `class_embed_type` says, times [B] or embeddings [B, D]; and what a control
 * network adds, one residual for each skip and one for the middle.
 */
export type Unet2dGiven = Readonly<{ classLabels?: tf.Tensor }> & Pick<Added, 'downResiduals' | 'midResidual'>;

export type Unet2d = Network<[sample: Image, timestep: tf.Tensor, given?: Unet2dGiven], Image> & Readonly<{ config: Unet2dConfig }>;

const check = (config: Unet2dConfig): void => {
  const { block_out_channels: widths, down_block_types: down, up_block_types: up } = config;
  for (const [field, types] of [['down_block_types', down], ['up_block_types', up]] as const) {
    if (types.length !== widths.length) refuse(model, field, types, `has ${types.length} levels but block_out_channels has ${widths.length}`);
    const strange = types.find(attendsToTokens);
    if (strange !== undefined) refuse(model, field, strange, 'attends to tokens, of which this network has none; UNet2DConditionModel does');
    if (config.norm_num_groups === null && !types.every(carriesSkipImage)) refuse(model, 'norm_num_groups', null, `leaves the groups of ${types.find((type) => !carriesSkipImage(type))} open`);
  }
  if (down.some(carriesSkipImage) && config.in_channels !== 3) refuse(model, 'in_channels', config.in_channels, 'cannot be carried along by Skip blocks, which take 3 channels');
  if (up.some(carriesSkipImage) && config.out_channels !== 3) refuse(model, 'out_channels', config.out_channels, 'cannot be carried along by Skip blocks, which make 3 channels');
  if (config.time_embedding_type === 'learned' && config.num_train_timesteps === null) refuse(model, 'num_train_timesteps', null, 'leaves the number of learned time embeddings open');
};

/** Times [B] to what the first linear layer of the time embedding takes. */
const timeProjection = (scope: Scope, config: Unet2dConfig): Readonly<{ project: Layer<[tf.Tensor], tf.Tensor>; size: number }> => {
  const { time_embedding_type: type, block_out_channels: widths, flip_sin_to_cos: cosFirst, freq_shift: freqShift, num_train_timesteps: steps } = config;
  const base = widths[0] as number;
  if (type === 'fourier') return { project: gaussianFourier(scope, { width: 2 * base, std: 16, log: true, cosFirst: false }), size: 2 * base };
  if (type === 'learned') return { project: embeddingTable(scope, { rows: steps as number, width: base }), size: base };
  return { project: scope.tapped((_params, t) => sinusoids(t, base, { cosFirst, freqShift })), size: base };
};

const styleOf = (config: Unet2dConfig, temb: number): UnetStyle => ({
  temb, eps: config.norm_eps, act: config.act_fn, groups: config.norm_num_groups, timeShift: config.resnet_time_scale_shift, skipTimeAct: false, resnetScale: 1,
  downsamplePadding: config.downsample_padding, downsampleType: config.downsample_type, upsampleType: config.upsample_type, linearProjection: false, contextNorm: null,
});

const tembOf = ({ time_embedding_dim: dim, block_out_channels: widths }: Unet2dConfig): number => dim ?? (widths[0] as number) * 4;

const levelOf = (config: Unet2dConfig, width: number, layers: number): UnetLevel => ({ layers, headDim: config.attention_head_dim ?? width, heads: 1, depths: [], context: null, onlyCross: false });

/** What may take the place of the reference's own parts. */
export type Unet2dParts = Pick<UnetStyle, 'attendImage'>;

/** From image and time to the middle: all that comes before the way up, which is also what a control network copies. `hint` is added after the first convolution. */
export const unet2dDescent = (root: Scope, config: Unet2dConfig, parts: Unet2dParts = {}): Layer<[input: Image, timestep: tf.Tensor, given?: Unet2dGiven & Readonly<{ hint?: Image }>], Descent & Readonly<{ temb: tf.Tensor2D }>> => {
  const { block_out_channels: widths, norm_num_groups: groups } = config;
  const [base, low] = [widths[0] as number, widths.at(-1) as number];
  const temb = tembOf(config);
  const convIn = conv2d(root.at('conv_in'), { from: config.in_channels, to: base, padding: 1 });
  const time = timeProjection(root.at('time_proj'), config);
  const embed = timestepMlp(root.at('time_embedding'), { from: time.size, to: temb });
  const label = labelEmbedding(root.at('class_embedding'), config, time, temb);
  const attentionGroups = config.attn_norm_num_groups ?? (config.resnet_time_scale_shift === 'default' ? groups ?? Math.min(Math.floor(low / 4), 32) : null);
  const down = descent(root, {
    widths, down: config.down_block_types as DownType[], levels: widths.map((width) => levelOf(config, width, config.layers_per_block)), style: { ...styleOf(config, temb), ...parts },
    mid: config.mid_block_type === null ? undefined : { attend: config.add_attention ? 'image' : 'none', channels: low, scale: config.mid_block_scale_factor, attentionGroups },
  });
  return (params, sample, t, { classLabels, hint, ...added } = {}) => {
    const timed = embed(params, time.project(params, t));
    if (!label && classLabels) throw new TypeError(`${model}: classLabels came, but the network has no class embedding (class_embed_type, num_class_embeds)`);
    const embedded = label ? tf.add<tf.Tensor2D>(timed, label(params, classLabels)) : timed;
    const entry = convIn(params, sample);
    return { ...down(params, hint ? tf.add<Image>(entry, hint) : entry, { temb: embedded }, sample, added), temb: embedded };
  };
};

/**
 * Builds a UNet2DModel: `(sample, timestep, given) -> output`.
 *   sample    float32 [B, H, W, in_channels], usually about [-1, 1]; H and W multiples of 2^(levels - 1)
 *   timestep  float32 [B], on the scale the network was trained with (0..999 for DDPM; noise levels for `fourier`)
 *   output    float32 [B, H, W, out_channels]
 * @param parts what takes the place of its own; a UNet with any is not the reference's
 * @throws ConfigError for an unknown field or a value that does not fit
 */
export const unet2d = (raw: Readonly<Record<string, unknown>> = {}, parts: Unet2dParts = {}): Unet2d => {
  const config = parseModelConfig(model, schema, raw);
  check(config);
  const { block_out_channels: widths, norm_num_groups: groups } = config;
  const network = buildNetwork<[Image, tf.Tensor, Unet2dGiven?], Image>(model, config, (root) => {
    const base = widths[0] as number;
    const down = unet2dDescent(root, config, parts);
    const up = ascent(root, {
      widths, up: config.up_block_types as UpType[], levels: widths.toReversed().map((width) => levelOf(config, width, config.layers_per_block + 1)), style: { ...styleOf(config, tembOf(config)), ...parts },
    });
    const norm = groupNorm(root.at('conv_norm_out'), { groups: groups ?? Math.min(Math.floor(base / 4), 32), channels: base, eps: config.norm_eps });
    const convOut = conv2d(root.at('conv_out'), { from: base, to: config.out_channels, padding: 1 });
    return (params, input, timestep, given: Unet2dGiven = {}): Image => {
      const [batch] = input.shape;
      const sample = config.center_input_sample ? tf.sub<Image>(tf.mul(input, 2), 1) : input;
      const t = tf.mul(tf.reshape(timestep, [-1]), tf.ones([batch]));
      const descended = down(params, sample, t, given);
      const [h, skip] = up(params, descended, { temb: descended.temb });
      const out = convOut(params, silu(norm(params, h)) as Image);
      const summed = skip ? tf.add<Image>(out, skip) : out;
      return config.time_embedding_type === 'fourier' ? tf.div<Image>(summed, tf.reshape(t, [batch, 1, 1, 1])) : summed;
    };
  });
  return { ...network, config };
};

const labelEmbedding = (scope: Scope, { class_embed_type: type, num_class_embeds: classes }: Unet2dConfig, time: ReturnType<typeof timeProjection>, temb: number):
Layer<[labels: tf.Tensor | undefined], tf.Tensor> | undefined => {
  const given = (labels: tf.Tensor | undefined): tf.Tensor => {
    if (!labels) throw new TypeError(`${model}: expected classLabels, since the network has a class embedding, but received none`);
    return labels;
  };
  if (type === 'timestep') {
    const mlp = timestepMlp(scope, { from: time.size, to: temb });
    return (params, labels) => mlp(params, time.project(params, given(labels)));
  }
  if (type === 'identity') return (_params, labels) => given(labels);
  if (classes === null) return undefined;
  const table = embeddingTable(scope, { rows: classes, width: temb });
  return (params, labels) => table(params, given(labels));
};
