/** The transformer of FLUX.1. @source black-forest-labs/flux; diffusers `FluxTransformer2DModel` */
import { z } from 'zod';
import * as tf from '../tf.ts';
import { zeros } from './init.ts';
import { count, parseModelConfig, refuse } from './modelConfig.ts';
import { type Layer, type Network, type Scope, buildNetwork } from './network.ts';
import { geluTanh, linear } from './nn.ts';
import { type Conditioning, type Tokens, adaNormContinuous, modulate, modulation, plainNorm } from './transformers/adaNorm.ts';
import { timeTextEmbedding } from './transformers/conditioning.ts';
import { feedForward } from './transformers/feedForward.ts';
import { jointAttention, selfAttention } from './transformers/jointAttention.ts';
import { type Rotation, rotationOf } from './transformers/rope.ts';

const schema = z.strictObject({
  patch_size: count.default(1),
  in_channels: count.default(64),
  out_channels: count.nullable().default(null),
  num_layers: count.default(19),
  num_single_layers: z.int().min(0).default(38),
  attention_head_dim: count.default(128),
  num_attention_heads: count.default(24),
  joint_attention_dim: count.default(4096),
  pooled_projection_dim: count.default(768),
  guidance_embeds: z.boolean().default(false),
  axes_dims_rope: z.array(count).nonempty().default([16, 56, 56]),
});

export type FluxConfig = z.infer<typeof schema>;

type Streams = readonly [text: Tokens, image: Tokens];
type Block = Layer<[text: Tokens, image: Tokens, conditioning: Conditioning, rotation: Rotation], Streams>;
type Sizes = Readonly<{ channels: number; heads: number; headDim: number }>;
type Six = [Tokens, Tokens, Tokens, Tokens, Tokens, Tokens];

/** `FluxTransformerBlock`: two streams with weights of their own, one attention. */
const doubleBlock = (scope: Scope, { channels, heads, headDim }: Sizes): Block => {
  const stream = (suffix: '' | '_context'): Readonly<{ parts: Layer<[Conditioning], Tokens[]>; norm1: Layer<[tf.Tensor], tf.Tensor>; norm2: Layer<[tf.Tensor], tf.Tensor>; feed: Layer<[tf.Tensor], tf.Tensor> }> => ({
    parts: modulation(scope.at(`norm1${suffix}`), { from: channels, channels, parts: 6 }),
    norm1: plainNorm(scope.at(`norm1${suffix}.norm`), channels),
    norm2: plainNorm(scope.at(`norm2${suffix}`), channels),
    feed: feedForward(scope.at(`ff${suffix}`), { channels, activation: 'gelu-approximate' }),
  });
  const [forImage, forText] = [stream(''), stream('_context')];
  const attn = jointAttention(scope.at('attn'), { channels, heads, headDim, qkNorm: 'rms_norm', textOut: true });
  return scope.tapped((params, text, image, conditioning, rotation): Streams => {
    const [i, t] = [forImage.parts(params, conditioning) as Six, forText.parts(params, conditioning) as Six];
    const [toImage, toText] = attn(params, modulate(forImage.norm1(params, image) as Tokens, i[0], i[1]), modulate(forText.norm1(params, text) as Tokens, t[0], t[1]), rotation);
    const finish = (x: Tokens, attended: Tokens, [, , gate, shift, scale, gateFeed]: Six, { norm2, feed }: typeof forImage): Tokens => {
      const y = tf.add<Tokens>(x, tf.mul(gate, attended));
      return tf.add<Tokens>(y, tf.mul(gateFeed, feed(params, modulate(norm2(params, y) as Tokens, shift, scale))));
    };
    return [finish(text, toText as Tokens, t, forText), finish(image, toImage, i, forImage)];
  });
};

/** `FluxSingleTransformerBlock`: both streams as one sequence; attention and feed-forward side by side, one projection for both. */
const singleBlock = (scope: Scope, { channels, heads, headDim }: Sizes): Block => {
  const parts = modulation(scope.at('norm'), { from: channels, channels, parts: 3 });
  const norm = plainNorm(scope.at('norm.norm'), channels);
  const wide = linear(scope.at('proj_mlp'), { from: channels, to: channels * 4 });
  const out = linear(scope.at('proj_out'), { from: channels * 5, to: channels });
  const attn = selfAttention(scope.at('attn'), { channels, heads, headDim, qkNorm: 'rms_norm', projectOut: false });
  return scope.tapped((params, text, image, conditioning, rotation): Streams => {
    const x = tf.concat([text, image], 1);
    const [shift, scale, gate] = parts(params, conditioning) as [Tokens, Tokens, Tokens];
    const normed = modulate(norm(params, x) as Tokens, shift, scale);
    const both = tf.concat([attn(params, normed, rotation), geluTanh(wide(params, normed)) as Tokens], 2);
    const y = tf.add<Tokens>(x, tf.mul(gate, out(params, both)));
    return tf.split(y, [text.shape[1], image.shape[1]], 1) as unknown as Streams;
  });
};

/** What the network is given beside the image's tokens. */
export type FluxGiven = Readonly<{
  /** Text features, float32 [B, M, joint_attention_dim]. */
  encoderHiddenStates: Tokens;
  /** Pooled text, float32 [B, pooled_projection_dim]. */
  pooledProjections: tf.Tensor2D;
  /** Places of the image's tokens, float32 [N, axes]: usually (0, row, column). */
  imgIds: tf.Tensor2D;
  /** Places of the text's tokens, float32 [M, axes]: usually zeros. */
  txtIds: tf.Tensor2D;
  /** Guidance scale, float32 [B]; for networks with guidance_embeds, and only those. */
  guidance?: tf.Tensor | undefined;
  /** Residuals of a control network for the image's tokens, spread over the double blocks, and over the single ones. */
  control?: readonly Tokens[];
  controlSingle?: readonly Tokens[];
  /** Whether `control` repeats instead of being spread. */
  repeatControl?: boolean;
}>;

const spread = (residuals: readonly Tokens[], i: number, depth: number, repeat = false): Tokens | undefined =>
  (residuals.length === 0 ? undefined : residuals[repeat ? i % residuals.length : Math.floor(i / Math.ceil(depth / residuals.length))]);

/**
 * Builds the transformer: `(tokens, t, given) -> velocity`.
 *   tokens    float32 [B, N, in_channels]: 2 x 2 patches of a latent (see `packLatent`)
 *   t         float32 [B], the flow's time in [0, 1]
 *   velocity  float32 [B, N, out_channels], noise minus clean
 * @throws ConfigError for an option that is unknown or not supported
 */
export const flux = (options: Readonly<Record<string, unknown>>): Network<[tokens: Tokens, t: tf.Tensor, given: FluxGiven], Tokens> => {
  const model = 'FluxTransformer2DModel';
  const config = parseModelConfig(model, schema, options);
  const { num_attention_heads: heads, attention_head_dim: headDim, axes_dims_rope: axes } = config;
  const channels = heads * headDim;
  if (axes.some((width) => width % 2 !== 0) || axes.reduce((a, b) => a + b, 0) !== headDim) refuse(model, 'axes_dims_rope', axes, `does not fit: expected even widths that add up to attention_head_dim, ${headDim}`);
  return buildNetwork('flux', config, (root) => {
    const conditioning = timeTextEmbedding(root.at('time_text_embed'), { channels, pooled: config.pooled_projection_dim, guidance: config.guidance_embeds });
    const context = linear(root.at('context_embedder'), { from: config.joint_attention_dim, to: channels });
    const embed = linear(root.at('x_embedder'), { from: config.in_channels, to: channels });
    const sizes = { channels, heads, headDim };
    const doubles = Array.from({ length: config.num_layers }, (_, i) => doubleBlock(root.at('transformer_blocks').at(i), sizes));
    const singles = Array.from({ length: config.num_single_layers }, (_, i) => singleBlock(root.at('single_transformer_blocks').at(i), sizes));
    const normOut = adaNormContinuous(root.at('norm_out'), { channels });
    const projOut = linear(root.at('proj_out'), { from: channels, to: config.patch_size ** 2 * (config.out_channels ?? config.in_channels), init: zeros, biasInit: zeros });
    return (params, tokens, t, { encoderHiddenStates, pooledProjections, imgIds, txtIds, guidance, control = [], controlSingle = [], repeatControl = false }) => {
      const vector = conditioning(params, tf.mul(t, 1000), pooledProjections, guidance && tf.mul(guidance, 1000));
      const rotation = rotationOf(tf.concat([txtIds, imgIds], 0), axes);
      let text = context(params, encoderHiddenStates) as Tokens;
      let image = embed(params, tokens) as Tokens;
      const pass = (blocks: readonly Block[], residualAt: (i: number) => Tokens | undefined): void => blocks.forEach((block, i) => {
        [text, image] = block(params, text, image, vector, rotation);
        const residual = residualAt(i);
        if (residual) image = tf.add<Tokens>(image, residual);
      });
      pass(doubles, (i) => spread(control, i, doubles.length, repeatControl));
      pass(singles, (i) => spread(controlSingle, i, singles.length));
      return projOut(params, normOut(params, image, vector)) as Tokens;
    };
  });
};

/** A latent's 2 x 2 patches as tokens, each in the order (channel, row, column): float32 [B, H, W, C] to [B, H W / 4, 4 C]. @source black-forest-labs/flux, sampling.py */
export const packLatent = (latent: tf.Tensor4D): Tokens => {
  const [batch, height, width, channels] = latent.shape;
  const rows = tf.reshape(tf.transpose(tf.reshape(latent, [batch * height / 2, 2, width, channels]), [0, 2, 1, 3]), [batch * height / 2, width / 2, 2, 2 * channels]);
  // Now (column in patch, row in patch, channel) per token; the model wants (channel, row, column).
  const tokens = tf.transpose(tf.reshape(rows, [batch * height * width / 4, 2, 2, channels]), [0, 3, 2, 1]);
  return tf.reshape(tokens, [batch, height * width / 4, channels * 4]) as Tokens;
};

/** The inverse of `packLatent`. @param height, width of the latent */
export const unpackLatent = (tokens: Tokens, height: number, width: number): tf.Tensor4D => {
  const [batch, , packed] = tokens.shape;
  const channels = packed / 4;
  const patches = tf.transpose(tf.reshape(tokens, [batch * height * width / 4, channels, 2, 2]), [0, 2, 3, 1]);
  const lines = tf.transpose(tf.reshape(patches, [batch * height / 2, width / 2, 2, 2 * channels]), [0, 2, 1, 3]);
  return tf.reshape(lines, [batch, height, width, channels]);
};

/** Places (0, row, column) of the tokens of a latent of `rows` x `columns` patches. */
export const latentIds = (rows: number, columns: number): tf.Tensor2D =>
  tf.tensor2d(Float32Array.from({ length: rows * columns * 3 }, (_, i) => (i % 3 === 0 ? 0 : i % 3 === 1 ? Math.floor(i / 3 / columns) : Math.floor(i / 3) % columns)), [rows * columns, 3]);
