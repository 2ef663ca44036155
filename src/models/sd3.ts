/** The transformer of Stable Diffusion 3 and 3.5. @source Esser et al. 2024, arXiv 2403.03206; diffusers `SD3Transformer2DModel` */
import { z } from 'zod';
import * as tf from '../tf.ts';
import { zeros } from './init.ts';
import { count, parseModelConfig, refuse } from './modelConfig.ts';
import { type Layer, type Network, type Scope, buildNetwork } from './network.ts';
import { linear } from './nn.ts';
import { type Conditioning, type HeadNorm, type Tokens, adaNormContinuous, headNorms, modulate, modulation, plainNorm } from './transformers/adaNorm.ts';
import { timeTextEmbedding } from './transformers/conditioning.ts';
import { feedForward } from './transformers/feedForward.ts';
import { jointAttention, selfAttention } from './transformers/jointAttention.ts';
import { patchEmbed, unpatch } from './transformers/patches.ts';

type Image = tf.Tensor4D;

const schema = z.strictObject({
  sample_size: count.default(128),
  patch_size: count.default(2),
  in_channels: count.default(16),
  num_layers: count.default(18),
  attention_head_dim: count.default(64),
  num_attention_heads: count.default(18),
  joint_attention_dim: count.default(4096),
  caption_projection_dim: count.default(1152),
  pooled_projection_dim: count.default(2048),
  out_channels: count.nullable().default(16),
  pos_embed_max_size: count.nullable().default(96),
  dual_attention_layers: z.array(z.int().min(0)).default([]),
  qk_norm: z.enum(headNorms).nullable().default(null),
});

export type Sd3Config = z.infer<typeof schema>;

type BlockOptions = Readonly<{ channels: number; heads: number; headDim: number; qkNorm: HeadNorm; last: boolean; dual: boolean }>;
type Streams = readonly [text: Tokens | undefined, image: Tokens];

/** `JointTransformerBlock`: both streams attend to each other, each with its own feed-forward; the last block drops the text. */
const jointBlock = (scope: Scope, { channels, heads, headDim, qkNorm, last, dual }: BlockOptions): Layer<[text: Tokens, image: Tokens, conditioning: Conditioning], Streams> => {
  const parts = modulation(scope.at('norm1'), { from: channels, channels, parts: dual ? 9 : 6 });
  const norm1 = plainNorm(scope.at('norm1.norm'), channels);
  const normText = last ? adaNormContinuous(scope.at('norm1_context'), { channels }) : undefined;
  const textParts = last ? undefined : modulation(scope.at('norm1_context'), { from: channels, channels, parts: 6 });
  const plainText = last ? undefined : plainNorm(scope.at('norm1_context.norm'), channels);
  const attn = jointAttention(scope.at('attn'), { channels, heads, headDim, qkNorm, textOut: !last });
  const attn2 = dual ? selfAttention(scope.at('attn2'), { channels, heads, headDim, qkNorm }) : undefined;
  const norm2 = plainNorm(scope.at('norm2'), channels);
  const feed = feedForward(scope.at('ff'), { channels, activation: 'gelu-approximate' });
  const norm2Text = last ? undefined : plainNorm(scope.at('norm2_context'), channels);
  const feedText = last ? undefined : feedForward(scope.at('ff_context'), { channels, activation: 'gelu-approximate' });
  return scope.tapped((params, text, image, conditioning): Streams => {
    const [shift, scale, gate, shiftFeed, scaleFeed, gateFeed, shift2, scale2, gate2] = parts(params, conditioning) as [Tokens, Tokens, Tokens, Tokens, Tokens, Tokens, Tokens, Tokens, Tokens];
    const normed = norm1(params, image) as Tokens;
    const forText = textParts?.(params, conditioning) as [Tokens, Tokens, Tokens, Tokens, Tokens, Tokens] | undefined;
    const normedText = forText && plainText ? modulate(plainText(params, text) as Tokens, forText[0], forText[1]) : (normText as NonNullable<typeof normText>)(params, text, conditioning);
    const [toImage, toText] = attn(params, modulate(normed, shift, scale), normedText);
    let x = tf.add<Tokens>(image, tf.mul(gate, toImage));
    if (attn2) x = tf.add<Tokens>(x, tf.mul(gate2, attn2(params, modulate(normed, shift2, scale2))));
    x = tf.add<Tokens>(x, tf.mul(gateFeed, feed(params, modulate(norm2(params, x) as Tokens, shiftFeed, scaleFeed))));
    if (!forText || !toText || !norm2Text || !feedText) return [undefined, x];
    const y = tf.add<Tokens>(text, tf.mul(forText[2], toText));
    return [tf.add<Tokens>(y, tf.mul(forText[5], feedText(params, modulate(norm2Text(params, y) as Tokens, forText[3], forText[4])))), x];
  });
};

/** What the network is given beside the image. */
export type Sd3Given = Readonly<{
  /** Text features, float32 [B, M, joint_attention_dim]. */
  encoderHiddenStates: Tokens;
  /** Pooled text, float32 [B, pooled_projection_dim]. */
  pooledProjections: tf.Tensor2D;
  /** Residuals of a control network, added to the image's tokens after blocks: float32 [B, N, channels] each, spread evenly over the blocks. */
  control?: readonly Tokens[];
  /** Blocks left out, for skip-layer guidance. */
  skipLayers?: readonly number[];
}>;

/**
 * Builds the transformer: `(x, t, given) -> velocity`.
 *   x         float32 [B, H, W, in_channels], a latent
 *   t         float32 [B], 1000 times the flow's time
 *   velocity  float32 [B, H, W, out_channels], noise minus clean
 * @throws ConfigError for an option that is unknown or not supported
 */
export const sd3 = (options: Readonly<Record<string, unknown>>): Network<[x: Image, t: tf.Tensor, given: Sd3Given], Image> => {
  const model = 'SD3Transformer2DModel';
  const config = parseModelConfig(model, schema, options);
  const channels = config.num_attention_heads * config.attention_head_dim;
  if (config.caption_projection_dim !== channels) refuse(model, 'caption_projection_dim', config.caption_projection_dim, `does not fit: the text stream has the width of the image's, ${channels}`);
  return buildNetwork('sd3', config, (root) => {
    const { patch_size: patch, num_layers: depth } = config;
    const embed = patchEmbed(root.at('pos_embed'), { channels: config.in_channels, to: channels, patch, sampleSize: config.sample_size, tableSize: config.pos_embed_max_size });
    const conditioning = timeTextEmbedding(root.at('time_text_embed'), { channels, pooled: config.pooled_projection_dim, guidance: false });
    const context = linear(root.at('context_embedder'), { from: config.joint_attention_dim, to: config.caption_projection_dim });
    const blocks = Array.from({ length: depth }, (_, i) => jointBlock(root.at('transformer_blocks').at(i), {
      channels, heads: config.num_attention_heads, headDim: config.attention_head_dim, qkNorm: config.qk_norm, last: i === depth - 1, dual: config.dual_attention_layers.includes(i),
    }));
    const normOut = adaNormContinuous(root.at('norm_out'), { channels });
    const projOut = linear(root.at('proj_out'), { from: channels, to: patch ** 2 * (config.out_channels ?? config.in_channels), init: zeros, biasInit: zeros });
    return (params, x, t, { encoderHiddenStates, pooledProjections, control = [], skipLayers = [] }) => {
      const vector = conditioning(params, t, pooledProjections);
      let text: Tokens | undefined = context(params, encoderHiddenStates) as Tokens;
      let image = embed(params, x);
      blocks.forEach((block, i) => {
        if (!skipLayers.includes(i)) [text, image] = block(params, text as Tokens, image, vector);
        const residual = i === depth - 1 ? undefined : control[Math.floor((i * control.length) / depth)];
        if (residual) image = tf.add<Tokens>(image, residual);
      });
      const [, height, width] = x.shape;
      return unpatch(projOut(params, normOut(params, image, vector)), { rows: Math.floor(height / patch), columns: Math.floor(width / patch), patch });
    };
  });
};
