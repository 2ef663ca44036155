/** DiT as in diffusers. @source Peebles and Xie 2023, arXiv 2212.09748; diffusers `DiTTransformer2DModel` */
import { z } from 'zod';
import * as tf from '../tf.ts';
import { attention } from './blocks/attention.ts';
import { embeddingTable } from './blocks/embeddings.ts';
import { zeros } from './init.ts';
import { count, parseModelConfig, refuse } from './modelConfig.ts';
import { type Layer, type Network, type Scope, buildNetwork } from './network.ts';
import { layerNorm, linear, silu } from './nn.ts';
import { type Conditioning, type Tokens, modulate, modulation, perToken, plainNorm } from './transformers/adaNorm.ts';
import { scalarEmbedding } from './transformers/conditioning.ts';
import { feedForward, feedForwardActivations } from './transformers/feedForward.ts';
import { patchEmbed, unpatch } from './transformers/patches.ts';

type Image = tf.Tensor4D;

const schema = z.strictObject({
  num_attention_heads: count.default(16),
  attention_head_dim: count.default(72),
  in_channels: count.default(4),
  out_channels: count.nullable().default(null),
  num_layers: count.default(28),
  /** Applies in training only, where the reference's is 0; this network has none. */
  dropout: z.number().min(0).max(1).default(0),
  /** Not used by the reference either. */
  norm_num_groups: count.default(32),
  attention_bias: z.boolean().default(true),
  sample_size: count.default(32),
  patch_size: count.default(2),
  activation_fn: z.enum(feedForwardActivations).default('gelu-approximate'),
  num_embeds_ada_norm: count.nullable().default(1000),
  /** Scores are float32 in any case. */
  upcast_attention: z.boolean().default(false),
  norm_type: z.string().default('ada_norm_zero'),
  norm_elementwise_affine: z.boolean().default(false),
  norm_eps: z.number().positive().default(1e-5),
});

export type DitConfig = z.infer<typeof schema>;

/** Time and class, each embedded by every block for itself. */
const timeClassEmbedding = (scope: Scope, channels: number, classes: number): Layer<[t: tf.Tensor, label: tf.Tensor], Conditioning> => {
  const time = scalarEmbedding(scope.at('timestep_embedder'), channels, { freqShift: 1 });
  // The last row stands for no class.
  const table = embeddingTable(scope.at('class_embedder.embedding_table'), { rows: classes + 1, width: channels, std: 0.02 });
  return scope.tapped((params, t, label) => tf.add(time(params, t), table(params, label)));
};

type Block = Readonly<{ run: Layer<[Tokens, tf.Tensor, tf.Tensor], Tokens>; embed: Layer<[tf.Tensor, tf.Tensor], Conditioning> }>;

const makeBlock = (scope: Scope, config: DitConfig, classes: number): Block => {
  const { num_attention_heads: heads, attention_head_dim: headDim } = config;
  const channels = heads * headDim;
  const embed = timeClassEmbedding(scope.at('norm1.emb'), channels, classes);
  const parts = modulation(scope.at('norm1'), { from: channels, channels, parts: 6 });
  const norm1 = plainNorm(scope.at('norm1.norm'), channels);
  const attn = attention(scope.at('attn1'), { channels, heads, headDim, bias: config.attention_bias });
  const norm3 = layerNorm(scope.at('norm3'), { channels, eps: config.norm_eps, affine: config.norm_elementwise_affine });
  const feed = feedForward(scope.at('ff'), { channels, activation: config.activation_fn });
  const run = scope.tapped((params, x: Tokens, t: tf.Tensor, label: tf.Tensor) => {
    const [shift, scale, gate, shift2, scale2, gate2] = parts(params, embed(params, t, label)) as [Tokens, Tokens, Tokens, Tokens, Tokens, Tokens];
    const a = tf.add<Tokens>(x, tf.mul(gate, attn(params, modulate(norm1(params, x) as Tokens, shift, scale))));
    return tf.add<Tokens>(a, tf.mul(gate2, feed(params, modulate(norm3(params, a) as Tokens, shift2, scale2))));
  });
  return { run, embed };
};

/**
 * Builds the transformer: `(x, t, label) -> output`.
 *   x       float32 [B, H, W, in_channels], H and W multiples of patch_size
 *   t       float32 [B], training timesteps
 *   label   int32 or float32 [B], class indices; num_embeds_ada_norm itself means no class
 *   output  float32 [B, H, W, out_channels]; with twice the channels the second half is the learned variance
 * Fresh weights make every block the identity and the output zero.
 * @throws ConfigError for an option that is unknown or not supported
 */
export const dit = (options: Readonly<Record<string, unknown>>): Network<[x: Image, t: tf.Tensor, label: tf.Tensor], Image> => {
  const model = 'DiTTransformer2DModel';
  const config = parseModelConfig(model, schema, options);
  if (config.norm_type !== 'ada_norm_zero') refuse(model, 'norm_type', config.norm_type, 'is not supported; ada_norm_zero is the only one the reference computes with');
  const classes = config.num_embeds_ada_norm ?? refuse(model, 'num_embeds_ada_norm', null, 'is not supported: adaLN-zero needs a number of classes');
  return buildNetwork('dit', config, (root) => {
    const channels = config.num_attention_heads * config.attention_head_dim;
    const embed = patchEmbed(root.at('pos_embed'), { channels: config.in_channels, to: channels, patch: config.patch_size, sampleSize: config.sample_size });
    const blocks = Array.from({ length: config.num_layers }, (_, i) => makeBlock(root.at('transformer_blocks').at(i), config, classes as number));
    const normOut = plainNorm(root.at('norm_out'), channels);
    const toModulation = linear(root.at('proj_out_1'), { from: channels, to: 2 * channels, init: zeros, biasInit: zeros });
    const toOutput = linear(root.at('proj_out_2'), { from: channels, to: config.patch_size ** 2 * (config.out_channels ?? config.in_channels), init: zeros, biasInit: zeros });
    return (params, x, t, label) => {
      const tokens = blocks.reduce((h, { run }) => run(params, h, t, label), embed(params, x));
      const conditioning = (blocks[0] as Block).embed(params, t, label);
      const [shift, scale] = tf.split(toModulation(params, silu(conditioning)) as tf.Tensor2D, 2, 1).map(perToken) as [Tokens, Tokens];
      const [, height, width] = x.shape;
      return unpatch(toOutput(params, modulate(normOut(params, tokens) as Tokens, shift, scale)), { rows: Math.floor(height / config.patch_size), columns: Math.floor(width / config.patch_size), patch: config.patch_size });
    };
  });
};
