/** The transformer of the diffusers UNets: an image's positions attend to each other, then to further tokens. */
import * as tf from '../../tf.ts';
import type { Layer, Scope } from '../network.ts';
import { conv2d, gelu, groupNorm, layerNorm, linear } from '../nn.ts';
import { attention } from './attention.ts';

type Image = tf.Tensor4D;
type Tokens = tf.Tensor3D;

/** What attention layers see beside the image. */
export type Attended = Readonly<{
  /** Further tokens, float32 [B, M, D]. */
  tokens?: Tokens | undefined;
  /** Added to scores of the tokens: float32 [B, 1, 1, M], 0 or very negative. */
  tokenBias?: tf.Tensor | undefined;
  /** Added to scores of the positions among themselves: float32 [B, 1, 1, H * W]. */
  selfBias?: tf.Tensor | undefined;
}>;

/** Gated feed-forward: out((half of proj(x)) * gelu(other half)), four times the width. @source Shazeer 2020, arXiv 2002.05202, eq. 6 */
const gegluFeedForward = (scope: Scope, channels: number): Layer<[tf.Tensor], tf.Tensor> => {
  const project = linear(scope.at('net.0.proj'), { from: channels, to: 8 * channels });
  const gated = scope.at('net.0').tapped((params, x: tf.Tensor) => {
    const [value, gate] = tf.split(project(params, x), 2, 2) as [tf.Tensor, tf.Tensor];
    return tf.mul(value, gelu(gate));
  });
  const out = linear(scope.at('net.2'), { from: 4 * channels, to: channels });
  return scope.tapped((params, x) => out(params, gated(params, x)));
};

/**
 * Self-attention, cross-attention and gated feed-forward, each after a layer norm and with residual.
 * @param options.onlyCross whether the first attention, too, looks at the tokens
 * @source diffusers `BasicTransformerBlock`
 */
const transformerBlock = (scope: Scope, { channels, heads, headDim, context, onlyCross }: { channels: number; heads: number; headDim: number; context: number; onlyCross: boolean }):
Layer<[x: Tokens, seen: Attended], Tokens> => {
  const norm1 = layerNorm(scope.at('norm1'), { channels });
  const attn1 = attention(scope.at('attn1'), { channels, heads, headDim, context: onlyCross ? context : channels });
  const norm2 = layerNorm(scope.at('norm2'), { channels });
  const attn2 = attention(scope.at('attn2'), { channels, heads, headDim, context });
  const norm3 = layerNorm(scope.at('norm3'), { channels });
  const feed = gegluFeedForward(scope.at('ff'), channels);
  return scope.tapped((params, x, { tokens, tokenBias, selfBias }) => {
    const a = tf.add<Tokens>(x, attn1(params, norm1(params, x) as Tokens, onlyCross ? tokens : undefined, selfBias));
    const b = tf.add<Tokens>(a, attn2(params, norm2(params, a) as Tokens, tokens, tokenBias));
    return tf.add<Tokens>(b, feed(params, norm3(params, b)));
  });
};

export type Transformer2dOptions = Readonly<{
  channels: number;
  heads: number;
  /** Blocks. */
  depth: number;
  /** Width of the further tokens. */
  context: number;
  groups: number;
  /** Whether the projections in and out are linear layers; 1x1 convolutions otherwise. The numbers are the same, the shapes of the weights are not. */
  linearProjection: boolean;
  onlyCross: boolean;
}>;

/** Group norm, projection to tokens, blocks, projection back, residual. @source diffusers `Transformer2DModel` on continuous input */
export const transformer2d = (scope: Scope, { channels, heads, depth, context, groups, linearProjection, onlyCross }: Transformer2dOptions): Layer<[image: Image, seen: Attended], Image> => {
  const headDim = Math.floor(channels / heads);
  const inner = heads * headDim;
  const norm = groupNorm(scope.at('norm'), { groups, channels, eps: 1e-6 });
  const project = (name: string, from: number, to: number): Layer<[Image], tf.Tensor> =>
    (linearProjection ? linear(scope.at(name), { from, to }) : conv2d(scope.at(name), { from, to, kernel: 1 }));
  const projIn = project('proj_in', channels, inner);
  const blocks = Array.from({ length: depth }, (_, i) => transformerBlock(scope.at('transformer_blocks').at(i), { channels: inner, heads, headDim, context, onlyCross }));
  const projOut = project('proj_out', inner, channels);
  return scope.tapped((params, x, seen) => {
    const [b, h, w] = x.shape;
    const entry = tf.reshape(projIn(params, norm(params, x) as Image), [b, h * w, inner]) as Tokens;
    const tokens = blocks.reduce((y, block) => block(params, y, seen), entry);
    return tf.add<Image>(x, projOut(params, tf.reshape(tokens, [b, h, w, inner]) as Image));
  });
};
