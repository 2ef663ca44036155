/** Attention over two streams of tokens at once, each with its own projections. @source Esser et al. 2024 (SD3), arXiv 2403.03206, figure 2; diffusers `JointAttnProcessor2_0`, `FluxAttnProcessor` */
import * as tf from '../../tf.ts';
import type { Layer, Scope } from '../network.ts';
import { attend, joinHeads, linear, splitHeads } from '../nn.ts';
import { type HeadNorm, type Tokens, headNorm } from './adaNorm.ts';
import { type Rotation, rotate } from './rope.ts';

type Heads = Readonly<{ q: tf.Tensor; k: tf.Tensor; v: tf.Tensor }>;

type StreamOptions = Readonly<{ channels: number; heads: number; headDim: number; qkNorm: HeadNorm; bias?: boolean; eps?: number }>;

/** Queries, keys and values of one stream, by head; names with a prefix of their own. */
const projections = (scope: Scope, names: Readonly<{ q: string; k: string; v: string; normQ: string; normK: string }>, { channels, heads, headDim, qkNorm, bias = true, eps = 1e-6 }: StreamOptions): Layer<[Tokens], Heads> => {
  const [toQ, toK, toV] = [names.q, names.k, names.v].map((name) => linear(scope.at(name), { from: channels, to: heads * headDim, bias })) as [Layer<[tf.Tensor], tf.Tensor>, Layer<[tf.Tensor], tf.Tensor>, Layer<[tf.Tensor], tf.Tensor>];
  const [normQ, normK] = [headNorm(scope.at(names.normQ), qkNorm, headDim, eps), headNorm(scope.at(names.normK), qkNorm, headDim, eps)];
  return (params, x) => ({ q: normQ(params, splitHeads(toQ(params, x), heads)), k: normK(params, splitHeads(toK(params, x), heads)), v: splitHeads(toV(params, x), heads) });
};

const own = { q: 'to_q', k: 'to_k', v: 'to_v', normQ: 'norm_q', normK: 'norm_k' } as const;
const added = { q: 'add_q_proj', k: 'add_k_proj', v: 'add_v_proj', normQ: 'norm_added_q', normK: 'norm_added_k' } as const;

/** Attention of tokens among themselves. @param options.projectOut whether `to_out.0` follows */
export const selfAttention = (scope: Scope, { projectOut = true, ...options }: StreamOptions & { projectOut?: boolean }): Layer<[x: Tokens, rotation?: Rotation | undefined], Tokens> => {
  const project = projections(scope, own, options);
  const out = projectOut ? linear(scope.at('to_out.0'), { from: options.heads * options.headDim, to: options.channels }) : undefined;
  return scope.tapped((params, x, rotation) => {
    const { q, k, v } = project(params, x);
    const y = joinHeads(attend(rotate(q, rotation), rotate(k, rotation), v));
    return (out ? out(params, y) : y) as Tokens;
  });
};

/**
 * Image and text tokens attend to all of both. The text comes first, as a rotation counts it.
 * @param options.textOut whether the text stream is projected out; otherwise it ends here
 * @returns the image's and the text's result (undefined where it ends)
 */
export const jointAttention = (scope: Scope, { textOut, ...options }: StreamOptions & { textOut: boolean }): Layer<[image: Tokens, text: Tokens, rotation?: Rotation | undefined], readonly [image: Tokens, text: Tokens | undefined]> => {
  const image = projections(scope, own, options);
  const text = projections(scope, added, options);
  const inner = options.heads * options.headDim;
  const out = linear(scope.at('to_out.0'), { from: inner, to: options.channels });
  const outText = textOut ? linear(scope.at('to_add_out'), { from: inner, to: options.channels }) : undefined;
  return scope.tapped((params, x, context, rotation) => {
    const [a, b] = [text(params, context), image(params, x)];
    const join = (from: keyof Heads): tf.Tensor => tf.concat([a[from], b[from]], 2);
    const y = joinHeads(attend(rotate(join('q'), rotation), rotate(join('k'), rotation), join('v')));
    const [forText, forImage] = tf.split(y, [context.shape[1], x.shape[1]], 1) as [tf.Tensor, tf.Tensor];
    return [out(params, forImage) as Tokens, outText?.(params, forText) as Tokens | undefined] as const;
  });
};
