/** Sana's linear-attention transformer. @source Xie et al. 2024, arXiv 2410.10629; diffusers `SanaTransformer2DModel` */
import { z } from 'zod';
import * as tf from '../tf.ts';
import { glumbConv } from './blocks/glumbConv.ts';
import { gaussian } from './init.ts';
import { count, parseModelConfig } from './modelConfig.ts';
import { type Layer, type Network, type Scope, buildNetwork, param } from './network.ts';
import { joinHeads, layerNorm, linear, rmsNorm, silu, splitHeads } from './nn.ts';
import { type Conditioning, type Tokens, modulate, perToken, plainNorm } from './transformers/adaNorm.ts';
import { scalarEmbedding, textProjection } from './transformers/conditioning.ts';
import { patchEmbed, unpatch } from './transformers/patches.ts';

type Image = tf.Tensor4D;

const schema = z.strictObject({
  in_channels: count.default(32),
  out_channels: count.nullable().default(32),
  num_attention_heads: count.default(70),
  attention_head_dim: count.default(32),
  num_layers: count.default(20),
  num_cross_attention_heads: count.default(20),
  cross_attention_head_dim: count.default(112),
  cross_attention_dim: count.default(2240),
  caption_channels: count.default(2304),
  mlp_ratio: z.number().positive().default(2.5),
  /** Applies in training only, where the reference's is 0; this network has none. */
  dropout: z.number().min(0).max(1).default(0),
  attention_bias: z.boolean().default(false),
  sample_size: count.default(32),
  patch_size: count.default(1),
  norm_elementwise_affine: z.boolean().default(false),
  norm_eps: z.number().positive().default(1e-6),
  interpolation_scale: z.number().positive().nullable().default(null),
  guidance_embeds: z.boolean().default(false),
  /** What the pipeline multiplies a guidance scale by before it is embedded. */
  guidance_embeds_scale: z.number().default(0.1),
  qk_norm: z.enum(['rms_norm_across_heads', 'layer_norm_across_heads']).nullable().default(null),
  /** What the pipeline multiplies timesteps by. */
  timestep_scale: z.number().default(1),
});

export type SanaConfig = z.infer<typeof schema>;
type Norm = Layer<[tf.Tensor], tf.Tensor>;

const acrossHeads = (scope: Scope, kind: SanaConfig['qk_norm'], channels: number): Norm => {
  if (kind === null) return (_, x) => x;
  return kind === 'rms_norm_across_heads' ? rmsNorm(scope, { channels }) : layerNorm(scope, { channels });
};

type AttentionOptions = Readonly<{ channels: number; heads: number; headDim: number; context?: number; bias: boolean; qkNorm: SanaConfig['qk_norm'] }>;
type Attend = (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) => tf.Tensor;

/** Projections by head, and what is done with them: attention to the text, or to the tokens themselves. */
const attention = (scope: Scope, { channels, heads, headDim, context = channels, bias, qkNorm }: AttentionOptions): Layer<[x: tf.Tensor, seen: tf.Tensor, attend: Attend], tf.Tensor> => {
  const inner = heads * headDim;
  const toQ = linear(scope.at('to_q'), { from: channels, to: inner, bias });
  const toK = linear(scope.at('to_k'), { from: context, to: inner, bias });
  const toV = linear(scope.at('to_v'), { from: context, to: inner, bias });
  const [normQ, normK] = [acrossHeads(scope.at('norm_q'), qkNorm, inner), acrossHeads(scope.at('norm_k'), qkNorm, inner)];
  const out = linear(scope.at('to_out.0'), { from: inner, to: channels });
  return scope.tapped((params, x, seen, attend) => {
    const [q, k, v] = [normQ(params, toQ(params, x)), normK(params, toK(params, seen)), toV(params, seen)].map((t) => splitHeads(t, heads)) as [tf.Tensor, tf.Tensor, tf.Tensor];
    return out(params, joinHeads(attend(q, k, v)));
  });
};

/** sum_j relu(q_i).relu(k_j) v_j / sum_j relu(q_i).relu(k_j), at a cost linear in the number of tokens. @source arXiv 2410.10629, eq. 1 @param q, k, v float32 [B, heads, N, D] */
export const reluLinearAttention = (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor): tf.Tensor => {
  const [queries, keys] = [tf.relu(q), tf.relu(k)];
  const weighted = tf.matMul(queries, tf.matMul(keys, v, true, false));
  const total = tf.sum(tf.mul(queries, tf.sum(keys, 2, true)), 3, true);
  return tf.div(weighted, tf.add(total, 1e-15));
};

/** Linear attention, cross-attention and gated convolution, modulated by a shared vector plus a table of the block's own (adaLN-single). */
const makeBlock = (scope: Scope, config: SanaConfig): Layer<[x: Tokens, text: Tokens, bias: tf.Tensor | undefined, shared: Conditioning, rows: number, columns: number], Tokens> => {
  const { num_attention_heads: heads, attention_head_dim: headDim, norm_eps: eps, qk_norm: qkNorm } = config;
  const channels = heads * headDim;
  const table = scope.param('scale_shift_table', [6, channels], gaussian(channels ** -0.5));
  const norm1 = plainNorm(scope.at('norm1'), channels, eps);
  const self = attention(scope.at('attn1'), { channels, heads, headDim, bias: config.attention_bias, qkNorm });
  const norm2 = layerNorm(scope.at('norm2'), { channels, eps, affine: config.norm_elementwise_affine });
  const cross = attention(scope.at('attn2'), { channels, heads: config.num_cross_attention_heads, headDim: config.cross_attention_head_dim, context: config.cross_attention_dim, bias: true, qkNorm });
  const feed = glumbConv(scope.at('ff'), { from: channels, to: channels, ratio: config.mlp_ratio, residual: false });
  return scope.tapped((params, x, text, bias, shared, rows, columns) => {
    const [shift, scale, gate, shift2, scale2, gate2] = tf.split(tf.add(tf.reshape(param(params, table), [1, 6, channels]), tf.reshape(shared, [-1, 6, channels])), 6, 1) as [Tokens, Tokens, Tokens, Tokens, Tokens, Tokens];
    const h = modulate(norm1(params, x) as Tokens, shift, scale);
    const a = tf.add<Tokens>(x, tf.mul(gate, self(params, h, h, reluLinearAttention)));
    const b = tf.add<Tokens>(a, cross(params, a, text, (q, k, v) => {
      const scores = tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(config.cross_attention_head_dim));
      return tf.matMul(tf.softmax(bias ? tf.add(scores, bias) : scores), v);
    }));
    const normed = modulate(norm2(params, b) as Tokens, shift2, scale2);
    const mixed = feed(params, tf.reshape(normed, [normed.shape[0], rows, columns, channels]) as Image);
    return tf.add<Tokens>(b, tf.mul(gate2, tf.reshape(mixed, b.shape)));
  });
};

/** What the network is given beside the image. */
export type SanaGiven = Readonly<{
  /** Text features, float32 [B, M, caption_channels]. */
  encoderHiddenStates: Tokens;
  /** Which text tokens count, float32 [B, M] of 1 and 0; or [B, 1, M], added to the scores. */
  encoderAttentionMask?: tf.Tensor | undefined;
  /** Guidance scale times guidance_embeds_scale, float32 [B]; for networks with guidance_embeds, and only those. */
  guidance?: tf.Tensor | undefined;
  /** Residuals of a control network for the tokens, added from the second block on. */
  control?: readonly Tokens[];
}>;

/** The shared modulation, [B, 6 C], and the vector it is made of, [B, C]. */
const timeEmbedding = (scope: Scope, channels: number, guided: boolean): Layer<[t: tf.Tensor, guidance: tf.Tensor | undefined], readonly [shared: Conditioning, vector: Conditioning]> => {
  const inner = guided ? scope : scope.at('emb');
  const time = scalarEmbedding(inner.at('timestep_embedder'), channels);
  const guide = guided ? scalarEmbedding(scope.at('guidance_embedder'), channels) : undefined;
  const project = linear(scope.at('linear'), { from: channels, to: 6 * channels });
  return scope.tapped((params, t, guidance) => {
    if (guide && !guidance) throw new TypeError(`${scope.path}: expected a guidance scale per image, since the network embeds one, but received none`);
    if (!guide && guidance) throw new TypeError(`${scope.path}: a guidance scale came, but the network has no guidance_embeds`);
    const vector = guide && guidance ? tf.add<Conditioning>(time(params, t), guide(params, guidance)) : time(params, t);
    return [project(params, silu(vector)) as Conditioning, vector] as const;
  });
};

/** Score biases [B, 1, 1, M] from a mask. */
const biasOf = (mask: tf.Tensor | undefined): tf.Tensor | undefined => {
  if (!mask) return undefined;
  const bias = mask.rank === 2 ? tf.mul(tf.sub(1, mask), -10_000) : mask;
  return tf.reshape(bias, [mask.shape[0] as number, 1, 1, mask.shape[mask.rank - 1] as number]);
};

/**
 * Builds the transformer: `(x, t, given) -> velocity`.
 *   x         float32 [B, H, W, in_channels], a latent
 *   t         float32 [B], 1000 times the flow's time (times timestep_scale)
 *   velocity  float32 [B, H, W, out_channels], noise minus clean
 * @throws ConfigError for an option that is unknown or not supported
 */
export const sana = (options: Readonly<Record<string, unknown>>): Network<[x: Image, t: tf.Tensor, given: SanaGiven], Image> => {
  const config = parseModelConfig('SanaTransformer2DModel', schema, options);
  const channels = config.num_attention_heads * config.attention_head_dim;
  const { patch_size: patch } = config;
  return buildNetwork('sana', config, (root) => {
    const embed = patchEmbed(root.at('patch_embed'), { channels: config.in_channels, to: channels, patch, sampleSize: config.sample_size, scale: config.interpolation_scale });
    const time = timeEmbedding(root.at('time_embed'), channels, config.guidance_embeds);
    const caption = textProjection(root.at('caption_projection'), { from: config.caption_channels, to: channels, activation: 'gelu_tanh' });
    const captionNorm = rmsNorm(root.at('caption_norm'), { channels });
    const blocks = Array.from({ length: config.num_layers }, (_, i) => makeBlock(root.at('transformer_blocks').at(i), config));
    const table = root.param('scale_shift_table', [2, channels], gaussian(channels ** -0.5));
    const normOut = plainNorm(root.at('norm_out.norm'), channels);
    const projOut = linear(root.at('proj_out'), { from: channels, to: patch ** 2 * (config.out_channels ?? config.in_channels) });
    return (params, x, t, { encoderHiddenStates, encoderAttentionMask, guidance, control = [] }) => {
      const [, height, width] = x.shape;
      const [rows, columns] = [Math.floor(height / patch), Math.floor(width / patch)];
      const [shared, vector] = time(params, t, guidance);
      const text = captionNorm(params, caption(params, encoderHiddenStates)) as Tokens;
      const bias = biasOf(encoderAttentionMask);
      const tokens = blocks.reduce((h, block, i) => {
        const next = block(params, h, text, bias, shared, rows, columns);
        const residual = i > 0 ? control[i - 1] : undefined;
        return residual ? tf.add<Tokens>(next, residual) : next;
      }, embed(params, x));
      const [shift, scale] = tf.split(tf.add(tf.reshape(param(params, table), [1, 2, channels]), perToken(vector)), 2, 1) as [Tokens, Tokens];
      return unpatch(projOut(params, modulate(normOut(params, tokens) as Tokens, shift, scale)), { rows, columns, patch });
    };
  });
};
