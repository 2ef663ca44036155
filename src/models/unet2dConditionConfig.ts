/** Configuration of the conditional UNets, and what it means for their parts. */
import { z } from 'zod';
import { activationNames } from './blocks/activation.ts';
import { type UnetLevel, type UnetStyle, carriesSkipImage, downTypes, upTypes } from './blocks/unetBlocks.ts';
import type { MidOptions } from './blocks/unetMid.ts';
import { blockType, count, counts, oneOrMany, parseModelConfig, perLevel, refuse, sampleSize } from './modelConfig.ts';

const depths = z.union([count, z.array(z.union([count, counts])).nonempty()]);

export const midTypes = ['UNetMidBlock2DCrossAttn', 'UNetMidBlock2DSimpleCrossAttn', 'UNetMidBlock2D'] as const;

/** Fields that `UNet2DConditionModel` and `ControlNetModel` share. */
export const sharedFields = {
  in_channels: count.default(4),
  flip_sin_to_cos: z.boolean().default(true),
  freq_shift: z.number().default(0),
  down_block_types: z.array(blockType(downTypes)).nonempty().default(['CrossAttnDownBlock2D', 'CrossAttnDownBlock2D', 'CrossAttnDownBlock2D', 'DownBlock2D']),
  mid_block_type: z.enum(midTypes).nullable().default('UNetMidBlock2DCrossAttn'),
  only_cross_attention: oneOrMany(z.boolean()).default(false),
  block_out_channels: counts.default([320, 640, 1280, 1280]),
  downsample_padding: z.int().min(0).max(1).default(1),
  mid_block_scale_factor: z.number().default(1),
  act_fn: z.enum(activationNames).default('silu'),
  norm_num_groups: count.nullable().default(32),
  norm_eps: z.number().default(1e-5),
  cross_attention_dim: oneOrMany(count).default(1280),
  transformer_layers_per_block: depths.default(1),
  encoder_hid_dim: count.nullable().default(null),
  encoder_hid_dim_type: z.enum(['text_proj', 'text_image_proj', 'image_proj']).nullable().default(null),
  attention_head_dim: oneOrMany(count).default(8),
  num_attention_heads: oneOrMany(count).nullable().default(null),
  use_linear_projection: z.boolean().default(false),
  class_embed_type: z.enum(['timestep', 'identity', 'projection', 'simple_projection']).nullable().default(null),
  addition_embed_type: z.enum(['text', 'text_image', 'text_time', 'image', 'image_hint']).nullable().default(null),
  addition_time_embed_dim: count.nullable().default(null),
  num_class_embeds: count.nullable().default(null),
  upcast_attention: z.boolean().nullable().default(false),
  resnet_time_scale_shift: z.enum(['default', 'scale_shift']).default('default'),
  projection_class_embeddings_input_dim: count.nullable().default(null),
  addition_embed_type_num_heads: count.default(64),
};

const schema = z.strictObject({
  ...sharedFields,
  sample_size: sampleSize.default(null),
  out_channels: count.default(4),
  center_input_sample: z.boolean().default(false),
  up_block_types: z.array(blockType(upTypes)).nonempty().default(['UpBlock2D', 'CrossAttnUpBlock2D', 'CrossAttnUpBlock2D', 'CrossAttnUpBlock2D']),
  layers_per_block: oneOrMany(count).default(2),
  dropout: z.number().default(0),
  reverse_transformer_layers_per_block: z.array(z.union([count, counts])).nonempty().nullable().default(null),
  dual_cross_attention: z.literal(false).default(false),
  resnet_skip_time_act: z.boolean().default(false),
  resnet_out_scale_factor: z.number().default(1),
  time_embedding_type: z.enum(['positional', 'fourier']).default('positional'),
  time_embedding_dim: count.nullable().default(null),
  time_embedding_act_fn: z.enum(activationNames).nullable().default(null),
  timestep_post_act: z.enum(activationNames).nullable().default(null),
  time_cond_proj_dim: count.nullable().default(null),
  conv_in_kernel: count.default(3),
  conv_out_kernel: count.default(3),
  attention_type: z.literal('default').default('default'),
  class_embeddings_concat: z.boolean().default(false),
  mid_block_only_cross_attention: z.boolean().nullable().default(null),
  cross_attention_norm: z.enum(['layer_norm', 'group_norm']).nullable().default(null),
});

/**
 * Fields of diffusers' `UNet2DConditionModel`. `attention_head_dim` is the number of heads of `CrossAttn...` blocks and the channels per head of the others,
 * a misnomer that all released files share. `dropout` is the identity here, `upcast_attention` has no effect in float32, `sample_size` is informative.
 */
export type Unet2dConditionConfig = z.output<typeof schema>;

/** What the parts of a conditional UNet are built from; those of a ControlNet among them. */
export type ConditionFields = z.output<z.ZodObject<typeof sharedFields>>;

/** Fields of ControlNet that a UNet has and it has not, as the reference has them there. */
export type TrunkFields = ConditionFields
  & Pick<Unet2dConditionConfig, 'layers_per_block' | 'resnet_skip_time_act' | 'resnet_out_scale_factor' | 'mid_block_only_cross_attention' | 'cross_attention_norm' | 'class_embeddings_concat'>;

/** One value per level. */
type PerLevel = Readonly<{
  layers: readonly number[]; heads: readonly number[]; context: readonly number[]; onlyCross: readonly boolean[];
  depths: readonly (number | readonly number[])[];
}>;

export const levelsOf = (model: string, config: TrunkFields): PerLevel => {
  const size = config.block_out_channels.length;
  const each = <T>(field: keyof TrunkFields & string, value: T | readonly T[]): readonly T[] => perLevel<T>(model, field, value, size);
  return {
    layers: each<number>('layers_per_block', config.layers_per_block), heads: each<number>('attention_head_dim', config.attention_head_dim),
    context: each<number>('cross_attention_dim', config.cross_attention_dim), onlyCross: each<boolean>('only_cross_attention', config.only_cross_attention),
    depths: each<number | readonly number[]>('transformer_layers_per_block', config.transformer_layers_per_block),
  };
};

const spread = (model: string, field: string, depth: number | readonly number[], layers: number): readonly number[] => {
  if (typeof depth === 'number') return Array.from({ length: layers }, () => depth);
  if (depth.length < layers) refuse(model, field, depth, `should have ${layers} values, one per residual block`);
  return depth;
};

/** The levels of the way down, from full resolution. */
export const downLevels = (model: string, config: TrunkFields): UnetLevel[] => {
  const { layers, heads, context, onlyCross, depths: each } = levelsOf(model, config);
  return config.block_out_channels.map((_, i) => ({
    layers: layers[i] as number, headDim: heads[i] as number, heads: heads[i] as number, context: context[i] as number, onlyCross: onlyCross[i] as boolean,
    depths: spread(model, 'transformer_layers_per_block', each[i] as number | readonly number[], layers[i] as number),
  }));
};

/** The levels of the way up, from the lowest resolution. */
export const upLevels = (model: string, config: Unet2dConditionConfig): UnetLevel[] => {
  const { layers, heads, context, onlyCross, depths: each } = levelsOf(model, config);
  const given = config.reverse_transformer_layers_per_block;
  const reversed = given === null ? each.toReversed() : perLevel(model, 'reverse_transformer_layers_per_block', given as readonly (number | readonly number[])[], layers.length);
  return layers.toReversed().map((number, i) => ({
    layers: number + 1, headDim: heads.at(-1 - i) as number, heads: heads.at(-1 - i) as number, context: context.at(-1 - i) as number, onlyCross: onlyCross.at(-1 - i) as boolean,
    depths: spread(model, given === null ? 'transformer_layers_per_block' : 'reverse_transformer_layers_per_block', reversed[i] as number | readonly number[], number + 1),
  }));
};

/** The middle: its own level, since attention there may look at tokens only where the levels do not. */
export const midOptions = (config: TrunkFields): MidOptions | undefined => {
  const kinds = { UNetMidBlock2DCrossAttn: 'cross', UNetMidBlock2DSimpleCrossAttn: 'added', UNetMidBlock2D: 'plain' } as const;
  if (config.mid_block_type === null) return undefined;
  const everywhere = typeof config.only_cross_attention === 'boolean' && config.only_cross_attention;
  return {
    attend: kinds[config.mid_block_type], channels: config.block_out_channels.at(-1) as number, scale: config.mid_block_scale_factor, attentionGroups: null,
    onlyCross: config.mid_block_only_cross_attention ?? everywhere,
  };
};

export const styleOf = (config: TrunkFields, timeDim: number): UnetStyle => ({
  temb: config.class_embeddings_concat ? 2 * timeDim : timeDim, eps: config.norm_eps, act: config.act_fn, groups: config.norm_num_groups, timeShift: config.resnet_time_scale_shift,
  skipTimeAct: config.resnet_skip_time_act, resnetScale: config.resnet_out_scale_factor, downsamplePadding: config.downsample_padding, downsampleType: 'conv', upsampleType: 'conv',
  linearProjection: config.use_linear_projection, contextNorm: config.cross_attention_norm,
});

/** Checks that hold for a ControlNet, too. */
export const checkTrunk = (model: string, config: TrunkFields): void => {
  const { block_out_channels: widths, down_block_types: down } = config;
  if (down.length !== widths.length) refuse(model, 'down_block_types', down, `has ${down.length} levels but block_out_channels has ${widths.length}`);
  const carrying = down.find(carriesSkipImage);
  if (carrying !== undefined) refuse(model, 'down_block_types', carrying, 'carries the image along, which UNet2DModel does and this network does not');
  if (config.norm_num_groups === null) refuse(model, 'norm_num_groups', null, 'leaves the groups of the residual blocks open');
  if (config.addition_embed_type === 'text_time' && (config.addition_time_embed_dim === null || config.projection_class_embeddings_input_dim === null)) {
    refuse(model, 'addition_embed_type', 'text_time', 'needs addition_time_embed_dim and projection_class_embeddings_input_dim');
  }
  const projected = config.class_embed_type === 'projection' || config.class_embed_type === 'simple_projection';
  if (projected && config.projection_class_embeddings_input_dim === null) refuse(model, 'class_embed_type', config.class_embed_type, 'needs projection_class_embeddings_input_dim');
  if (config.encoder_hid_dim_type !== null && config.encoder_hid_dim === null) refuse(model, 'encoder_hid_dim_type', config.encoder_hid_dim_type, 'needs encoder_hid_dim');
  const single = typeof config.cross_attention_dim === 'number';
  if (!single && (config.encoder_hid_dim !== null || config.addition_embed_type === 'text')) {
    refuse(model, 'cross_attention_dim', config.cross_attention_dim, 'should be one number where embeddings are projected');
  }
};

/** Checks a UNet's configuration and fills in the defaults. @throws ConfigError */
export const parseUnet2dCondition = (raw: Readonly<Record<string, unknown>>): Unet2dConditionConfig => {
  const model = 'UNet2DConditionModel';
  const config = parseModelConfig(model, schema, raw);
  checkTrunk(model, config);
  if (config.num_attention_heads !== null) refuse(model, 'num_attention_heads', config.num_attention_heads, 'is refused by the reference, too: heads are given as attention_head_dim');
  const { up_block_types: up, block_out_channels: widths } = config;
  if (up.length !== widths.length) refuse(model, 'up_block_types', up, `has ${up.length} levels but block_out_channels has ${widths.length}`);
  const carrying = up.find(carriesSkipImage);
  if (carrying !== undefined) refuse(model, 'up_block_types', carrying, 'carries the image along, which UNet2DModel does and this network does not');
  const asymmetric = Array.isArray(config.transformer_layers_per_block) && config.transformer_layers_per_block.some(Array.isArray);
  if (asymmetric && config.reverse_transformer_layers_per_block === null) {
    refuse(model, 'transformer_layers_per_block', config.transformer_layers_per_block, 'differs within a level, which needs reverse_transformer_layers_per_block');
  }
  if (config.time_embedding_type === 'fourier' && (config.time_embedding_dim ?? 0) % 2 !== 0) refuse(model, 'time_embedding_dim', config.time_embedding_dim, 'should be even for fourier embeddings');
  return config;
};

