/**
 * UNet2DConditionModel: the text-conditional denoiser of SD 1, SD 2.1, SD-Turbo and SDXL. Image-to-image methods run it without text: see `textFree.ts`.
 * @source Rombach et al. 2022, arXiv 2112.10752; Podell et al. 2023 (SDXL), arXiv 2307.01952; diffusers `UNet2DConditionModel`
 */
import * as tf from '../tf.ts';
import { activation } from './blocks/activation.ts';
import { gaussianFourier, sinusoids, timestepMlp } from './blocks/embeddings.ts';
import type { DownType, Given, UpType } from './blocks/unetBlocks.ts';
import { type Conditions, conditionLayers } from './blocks/unetConditions.ts';
import { ascent, descent } from './blocks/unetTrunk.ts';
import { type Layer, type Network, type Scope, buildNetwork } from './network.ts';
import { conv2d, groupNorm } from './nn.ts';
import { type Unet2dConditionConfig, downLevels, midOptions, parseUnet2dCondition, styleOf, upLevels } from './unet2dConditionConfig.ts';

type Image = tf.Tensor4D;

const model = 'UNet2DConditionModel';

/** What a conditional UNet is given beside image and time. */
export type UnetGiven = Conditions & Readonly<{
  /** float32 [B, time_cond_proj_dim]: an embedded guidance scale, in networks distilled from guided ones. */
  timestepCond?: tf.Tensor | undefined;
  /** Residuals of a ControlNet: one per skip of the network, shallow to deep. */
  downResiduals?: readonly Image[] | undefined;
  midResidual?: Image | undefined;
  /** Residuals of an adapter: one per level. */
  adapters?: readonly Image[] | undefined;
}>;

export type Unet2dCondition = Network<[sample: Image, timestep: tf.Tensor, given?: UnetGiven], Image> & Readonly<{ config: Unet2dConditionConfig }>;

/** Times [B] to what the first linear layer of the time embedding takes, and the embedding's width. */
const timeProjection = (scope: Scope, config: Unet2dConditionConfig): Readonly<{ project: Layer<[tf.Tensor], tf.Tensor>; size: number; dim: number }> => {
  const { time_embedding_type: type, time_embedding_dim: given, flip_sin_to_cos: cosFirst, freq_shift: freqShift, block_out_channels: widths } = config;
  const base = widths[0] as number;
  if (type === 'fourier') {
    const dim = given ?? base * 2;
    return { project: gaussianFourier(scope, { width: dim, std: 1, log: false, cosFirst }), size: dim, dim };
  }
  return { project: scope.tapped((_params, t) => sinusoids(t, base, { cosFirst, freqShift })), size: base, dim: given ?? base * 4 };
};

/**
 * Builds a UNet2DConditionModel: `(sample, timestep, given) -> output`.
 *   sample    float32 [B, H, W, in_channels]: latents, scaled
 *   timestep  float32 [B], 0..999 for SD networks
 *   given     `encoderHiddenStates` float32 [B, M, cross_attention_dim] and whatever else the configuration asks for
 *   output    float32 [B, H, W, out_channels]: noise or velocity, as the network was trained
 * @throws ConfigError for an unknown field or a value that does not fit
 */
export const unet2dCondition = (raw: Readonly<Record<string, unknown>> = {}): Unet2dCondition => {
  const config = parseUnet2dCondition(raw);
  const { block_out_channels: widths, act_fn: act, norm_num_groups: groups } = config;
  const base = widths[0] as number;
  const network = buildNetwork<[Image, tf.Tensor, UnetGiven?], Image>(model, config, (root) => {
    const kernels = [config.conv_in_kernel, config.conv_out_kernel] as const;
    const convIn = conv2d(root.at('conv_in'), { from: config.in_channels, to: base, kernel: kernels[0], padding: Math.floor((kernels[0] - 1) / 2) });
    const time = timeProjection(root.at('time_proj'), config);
    const embed = timestepMlp(root.at('time_embedding'), { from: time.size, to: time.dim, act, postAct: config.timestep_post_act, conditioned: config.time_cond_proj_dim });
    const conditions = conditionLayers(root, model, config, time);
    const style = styleOf(config, time.dim);
    const down = descent(root, { widths, down: config.down_block_types as DownType[], levels: downLevels(model, config), mid: midOptions(config), style });
    const up = ascent(root, { widths, up: config.up_block_types as UpType[], levels: upLevels(model, config), style });
    const norm = groupNorm(root.at('conv_norm_out'), { groups: groups as number, channels: base, eps: config.norm_eps });
    const convOut = conv2d(root.at('conv_out'), { from: base, to: config.out_channels, kernel: kernels[1], padding: Math.floor((kernels[1] - 1) / 2) });
    return (params, input, timestep, given: UnetGiven = {}): Image => {
      const [batch] = input.shape;
      const t = tf.mul(tf.reshape(timestep, [-1]), tf.ones([batch]));
      const timed = embed(params, time.project(params, t), given.timestepCond);
      const { temb, hint, ...attended } = conditions(params, timed, given);
      const centred = config.center_input_sample ? tf.sub<Image>(tf.mul(input, 2), 1) : input;
      const seen: Given = { ...attended, temb: (config.time_embedding_act_fn === null ? temb : activation(config.time_embedding_act_fn)(temb)) as tf.Tensor2D };
      const sample = hint ? tf.concat([centred, hint], 3) : centred;
      const [h] = up(params, down(params, convIn(params, sample), seen, sample, given), seen);
      return convOut(params, activation(act)(norm(params, h)) as Image);
    };
  });
  return { ...network, config };
};
