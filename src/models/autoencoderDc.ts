/**
 * AutoencoderDC, the deep-compression autoencoder (DC-AE and Sana's): 32 to 128 pixels per latent cell, deterministic.
 * @source Chen et al. 2024, arXiv 2410.10733; diffusers `AutoencoderDC`
 */
import { z } from 'zod';
import * as tf from '../tf.ts';
import { type Autoencoder, buildAutoencoder } from './autoencoder.ts';
import { type ActivationName, activation, activationNames } from './blocks/activation.ts';
import { type DcNorm, averageChannels, dcDown, dcNorms, dcResBlock, dcUp, efficientVitBlock, repeatChannels } from './blocks/dcBlocks.ts';
import { count, counts, oneOrMany, parseModelConfig, perLevel, refuse } from './modelConfig.ts';
import type { Layer, Scope } from './network.ts';
import { conv2d, rmsNorm } from './nn.ts';

type Image = tf.Tensor4D;

const model = 'AutoencoderDC';
const blockTypes = oneOrMany(z.enum(['ResBlock', 'EfficientViTBlock']));
const depths = z.array(z.int().nonnegative()).nonempty();
const scales = z.array(z.array(count)).nonempty();

const schema = z.strictObject({
  in_channels: count.default(3),
  latent_channels: count.default(32),
  attention_head_dim: count.default(32),
  encoder_block_types: blockTypes.default('ResBlock'),
  decoder_block_types: blockTypes.default('ResBlock'),
  encoder_block_out_channels: counts.default([128, 256, 512, 512, 1024, 1024]),
  decoder_block_out_channels: counts.default([128, 256, 512, 512, 1024, 1024]),
  encoder_layers_per_block: depths.default([2, 2, 2, 3, 3, 3]),
  decoder_layers_per_block: depths.default([3, 3, 3, 3, 3, 3]),
  encoder_qkv_multiscales: scales.default([[], [], [], [5], [5], [5]]),
  decoder_qkv_multiscales: scales.default([[], [], [], [5], [5], [5]]),
  upsample_block_type: z.enum(['pixel_shuffle', 'interpolate']).default('pixel_shuffle'),
  downsample_block_type: z.enum(['pixel_unshuffle', 'conv', 'Conv']).default('pixel_unshuffle'),
  decoder_norm_types: oneOrMany(z.enum(dcNorms)).default('rms_norm'),
  decoder_act_fns: oneOrMany(z.enum(activationNames)).default('silu'),
  encoder_out_shortcut: z.boolean().default(true),
  decoder_in_shortcut: z.boolean().default(true),
  decoder_conv_act_fn: z.enum(activationNames).default('relu'),
  scaling_factor: z.number().default(1),
});

/** Fields of diffusers' `AutoencoderDC`. Any `downsample_block_type` but `pixel_unshuffle` means a convolution of stride 2. */
export type AutoencoderDcConfig = z.output<typeof schema>;

type Level = Readonly<{ type: 'ResBlock' | 'EfficientViTBlock'; width: number; depth: number; scales: readonly number[]; norm: DcNorm; act: ActivationName }>;

const levelsOf = (config: AutoencoderDcConfig, side: 'encoder' | 'decoder'): Level[] => {
  const widths = config[`${side}_block_out_channels`];
  const each = <T>(field: string, value: T | readonly T[]): readonly T[] => perLevel<T>(model, field, value, widths.length);
  const types = each(`${side}_block_types`, config[`${side}_block_types`]);
  const depthsOf = each<number>(`${side}_layers_per_block`, config[`${side}_layers_per_block`]);
  const multiscales = each<readonly number[]>(`${side}_qkv_multiscales`, config[`${side}_qkv_multiscales`]);
  const norms = side === 'encoder' ? widths.map(() => 'rms_norm' as const) : each('decoder_norm_types', config.decoder_norm_types);
  const acts = side === 'encoder' ? widths.map(() => 'silu' as const) : each('decoder_act_fns', config.decoder_act_fns);
  return widths.map((width, i) => ({ type: types[i], width, depth: depthsOf[i], scales: multiscales[i], norm: norms[i], act: acts[i] }) as Level);
};

/** Shortcuts average or repeat whole groups of channels; where widths do not divide, there is none to make. */
const checkShortcuts = (side: 'encoder' | 'decoder', levels: readonly Level[], channels: number, endShortcut: boolean): void => {
  const field = `${side}_block_out_channels`;
  const widths = levels.map(({ width }) => width);
  const [wide, narrow] = side === 'encoder' ? [0, 1] : [1, 0];
  for (const [i, { depth }] of levels.entries()) {
    if (i === levels.length - 1 || depth === 0) continue;
    const [from, to] = [widths[i + wide] as number, widths[i + narrow] as number];
    if (side === 'encoder' ? (from * 4) % to !== 0 : (to * 4) % from !== 0) refuse(model, field, widths, `has no shortcut from ${from} to ${to} channels, which do not divide`);
  }
  if (endShortcut && (widths.at(-1) as number) % channels !== 0) refuse(model, 'latent_channels', channels, `does not divide the deepest width ${widths.at(-1)}, as the shortcut needs`);
  if ((levels[0] as Level).depth === 0 && levels.length < 2) refuse(model, `${side}_layers_per_block`, [0], 'leaves no level');
};

const blockOf = (scope: Scope, { type, width, scales: kernels, norm, act }: Level, headDim: number): Layer<[Image], Image> =>
  (type === 'ResBlock' ? dcResBlock(scope, { channels: width, norm, act }) : efficientVitBlock(scope, { channels: width, headDim, scales: kernels, norm }));

const encoderOf = (scope: Scope, config: AutoencoderDcConfig, levels: readonly Level[]): Layer<[Image], Image> => {
  const { in_channels: from, latent_channels: channels, attention_head_dim: headDim } = config;
  const unshuffle = config.downsample_block_type === 'pixel_unshuffle';
  const last = levels.at(-1) as Level;
  const convIn = (levels[0] as Level).depth > 0
    ? conv2d(scope.at('conv_in'), { from, to: (levels[0] as Level).width, padding: 1 })
    : dcDown(scope.at('conv_in'), { from, to: (levels[1] as Level).width, unshuffle, shortcut: false });
  const stages = levels.map((level, i) => {
    const place = scope.at('down_blocks').at(i);
    const layers = Array.from({ length: level.depth }, (_, j) => blockOf(place.at(j), level, headDim));
    if (i < levels.length - 1 && level.depth > 0) layers.push(dcDown(place.at(level.depth), { from: level.width, to: (levels[i + 1] as Level).width, unshuffle, shortcut: true }));
    return place.tapped((params, x: Image) => layers.reduce((h, layer) => layer(params, h), x));
  });
  const convOut = conv2d(scope.at('conv_out'), { from: last.width, to: channels, padding: 1 });
  return scope.tapped((params, x) => {
    const h = stages.reduce((y, stage) => stage(params, y), convIn(params, x));
    return config.encoder_out_shortcut ? tf.add(convOut(params, h), averageChannels(h, last.width / channels)) : convOut(params, h);
  });
};

const decoderOf = (scope: Scope, config: AutoencoderDcConfig, levels: readonly Level[]): Layer<[Image], Image> => {
  const { in_channels: to, latent_channels: channels, attention_head_dim: headDim } = config;
  const interpolate = config.upsample_block_type === 'interpolate';
  const last = levels.at(-1) as Level;
  const convIn = conv2d(scope.at('conv_in'), { from: channels, to: last.width, padding: 1 });
  const stages = levels.map((level, i) => {
    const place = scope.at('up_blocks').at(i);
    const enlarges = i < levels.length - 1 && level.depth > 0;
    const layers = enlarges ? [dcUp(place.at(0), { from: (levels[i + 1] as Level).width, to: level.width, interpolate, shortcut: true })] : [];
    for (let j = 0; j < level.depth; j++) layers.push(blockOf(place.at(layers.length), level, headDim));
    return place.tapped((params, x: Image) => layers.reduce((h, layer) => layer(params, h), x));
  }).toReversed();
  const full = (levels[0] as Level).depth > 0;
  const width = (levels[full ? 0 : 1] as Level).width;
  const norm = rmsNorm(scope.at('norm_out'), { channels: width, bias: true });
  const act = activation(config.decoder_conv_act_fn);
  const convOut = full ? conv2d(scope.at('conv_out'), { from: width, to, padding: 1 }) : dcUp(scope.at('conv_out'), { from: width, to, interpolate, shortcut: false });
  return scope.tapped((params, z) => {
    const entry = config.decoder_in_shortcut ? tf.add<Image>(convIn(params, z), repeatChannels(z, last.width / channels)) : convIn(params, z);
    const h = stages.reduce((y, stage) => stage(params, y), entry);
    return convOut(params, act(norm(params, h)) as Image);
  });
};

/**
 * Builds an AutoencoderDC. Images float32 [B, H, W, 3] in [-1, 1]; latents [B, H / f, W / f, C], without noise.
 * Batch norms, where the configuration has them, use their running statistics.
 * @throws ConfigError for an unknown field or a value that does not fit
 */
export const autoencoderDc = (raw: Readonly<Record<string, unknown>> = {}): Autoencoder<AutoencoderDcConfig> => {
  const config = parseModelConfig(model, schema, raw);
  const [inward, outward] = [levelsOf(config, 'encoder'), levelsOf(config, 'decoder')];
  checkShortcuts('encoder', inward, config.latent_channels, config.encoder_out_shortcut);
  checkShortcuts('decoder', outward, config.latent_channels, config.decoder_in_shortcut);
  const halvings = inward.filter(({ depth }, i) => i === 0 || (i < inward.length - 1 && depth > 0)).length;
  return buildAutoencoder(model, config, { factor: 2 ** halvings, channels: config.latent_channels, latentScale: { scale: config.scaling_factor, shift: 0 } }, (root) =>
    ({ encode: encoderOf(root.at('encoder'), config, inward), decode: decoderOf(root.at('decoder'), config, outward) }));
};
