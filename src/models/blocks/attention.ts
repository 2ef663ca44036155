/** The attention modules of the diffusers UNets and autoencoders. */
import * as tf from '../../tf.ts';
import type { Layer, Scope } from '../network.ts';
import { attend, groupNorm, joinHeads, layerNorm, linear, splitHeads } from '../nn.ts';

type Image = tf.Tensor4D;

export type AttentionOptions = Readonly<{
  /** Width of the queries. */
  channels: number;
  heads: number;
  headDim: number;
  /** Width of what is attended to; the queries' by default. */
  context?: number;
  /** Whether the projections to queries, keys and values have a bias. */
  bias?: boolean;
  outBias?: boolean;
  /** Normalises what is attended to, where it is given. */
  contextNorm?: TokenNorm;
}>;

type TokenNorm = 'layer_norm' | 'group_norm' | null;

const normOfTokens = (scope: Scope, norm: TokenNorm, channels: Readonly<{ layer: number; group: number }>): Layer<[tf.Tensor], tf.Tensor> | undefined => {
  if (norm === null) return undefined;
  return norm === 'layer_norm' ? layerNorm(scope, { channels: channels.layer }) : groupNorm(scope, { groups: 32, channels: channels.group });
};

/**
 * Multi-head attention of tokens to tokens, without residual.
 * @returns a layer of `(x [B, N, channels], context [B, M, context] or undefined for x itself, bias [B, 1, 1, M] added to the scores)` to [B, N, channels]
 * @source Vaswani et al. 2017, arXiv 1706.03762; diffusers `Attention` with `AttnProcessor`
 */
export const attention = (scope: Scope, { channels, heads, headDim, context = channels, bias = false, outBias = true, contextNorm = null }: AttentionOptions):
Layer<[x: tf.Tensor3D, context?: tf.Tensor3D | undefined, scoreBias?: tf.Tensor | undefined], tf.Tensor3D> => {
  const inner = heads * headDim;
  const normContext = normOfTokens(scope.at('norm_cross'), contextNorm, { layer: context, group: context });
  const toQ = linear(scope.at('to_q'), { from: channels, to: inner, bias });
  const toK = linear(scope.at('to_k'), { from: context, to: inner, bias });
  const toV = linear(scope.at('to_v'), { from: context, to: inner, bias });
  const toOut = linear(scope.at('to_out.0'), { from: inner, to: channels, bias: outBias });
  return scope.tapped((params, x, given, scoreBias) => {
    const seen = given === undefined ? x : normContext ? normContext(params, given) : given;
    const [q, k, v] = [toQ(params, x), toK(params, seen), toV(params, seen)].map((t) => splitHeads(t, heads)) as [tf.Tensor, tf.Tensor, tf.Tensor];
    return toOut(params, joinHeads(attendBiased(q, k, v, scoreBias))) as tf.Tensor3D;
  });
};

/** `attend` with something added to the scores. */
export const attendBiased = (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, bias: tf.Tensor | undefined): tf.Tensor => {
  if (bias === undefined) return attend(q, k, v);
  const scale = 1 / Math.sqrt(q.shape[3] as number);
  return tf.matMul(tf.softmax(tf.add(tf.mul(tf.matMul(q, k, false, true), scale), bias)), v);
};

/**
 * Self-attention of an image's positions, with group norm, biases and residual: (x + attention(norm(x))) / scale.
 * @param options.groups null leaves the norm out
 * @source diffusers `Attention(residual_connection=True)`, once `AttentionBlock`
 */
export const imageAttention = (scope: Scope, { channels, headDim, groups, eps, scale = 1 }: {
  channels: number; headDim: number; groups: number | null; eps: number; scale?: number;
}): Layer<[Image], Image> => {
  const norm = groups === null ? undefined : groupNorm(scope.at('group_norm'), { groups, channels, eps });
  const inner = attention({ ...scope, tapped: (layer) => layer }, { channels, heads: Math.floor(channels / headDim), headDim, bias: true });
  return scope.tapped((params, x) => {
    const [b, h, w, c] = x.shape;
    const tokens = tf.reshape(x, [b, h * w, c]) as tf.Tensor3D;
    const y = tf.reshape(inner(params, norm ? norm(params, tokens) as tf.Tensor3D : tokens), [b, h, w, c]);
    const sum = tf.add<Image>(x, y);
    return scale === 1 ? sum : tf.div(sum, scale);
  });
};

/**
 * Attention of an image's positions to each other and to further tokens at once, with norm and residual.
 * @param options.added width of the further tokens
 * @param options.onlyAdded whether positions see the further tokens only
 * @source diffusers `Attention` with `AttnAddedKVProcessor`
 */
export const addedAttention = (scope: Scope, { channels, headDim, groups, added, onlyAdded, contextNorm }: {
  channels: number; headDim: number; groups: number; added: number; onlyAdded: boolean; contextNorm: TokenNorm;
}): Layer<[image: Image, tokens: tf.Tensor3D, scoreBias?: tf.Tensor | undefined], Image> => {
  const heads = Math.floor(channels / headDim);
  const inner = heads * headDim;
  const norm = groupNorm(scope.at('group_norm'), { groups, channels });
  // The reference sizes its layer norm by the queries, its group norm by the tokens.
  const normTokens = normOfTokens(scope.at('norm_cross'), contextNorm, { layer: channels, group: added });
  const project = (name: string, from: number): Layer<[tf.Tensor], tf.Tensor> => linear(scope.at(name), { from, to: inner });
  const toQ = project('to_q', channels);
  const own = onlyAdded ? undefined : { k: project('to_k', channels), v: project('to_v', channels) };
  const [addK, addV] = [project('add_k_proj', added), project('add_v_proj', added)];
  const toOut = linear(scope.at('to_out.0'), { from: inner, to: channels });
  return scope.tapped((params, x, given, scoreBias) => {
    const [b, h, w, c] = x.shape;
    const tokens = normTokens ? normTokens(params, given) : given;
    const positions = norm(params, tf.reshape(x, [b, h * w, c]));
    const both = (fromTokens: Layer<[tf.Tensor], tf.Tensor>, fromPositions: Layer<[tf.Tensor], tf.Tensor> | undefined): tf.Tensor =>
      splitHeads(fromPositions ? tf.concat([fromTokens(params, tokens), fromPositions(params, positions)], 1) : fromTokens(params, tokens), heads);
    const y = attendBiased(splitHeads(toQ(params, positions), heads), both(addK, own?.k), both(addV, own?.v), scoreBias);
    return tf.add<Image>(x, tf.reshape(toOut(params, joinHeads(y)), [b, h, w, c]));
  });
};
