/** Layer norms whose shift, scale and gate come from a conditioning vector. @source Peebles and Xie 2023 (DiT), arXiv 2212.09748, section 3.2; diffusers `normalization.py` */
import * as tf from '../../tf.ts';
import { zeros } from '../init.ts';
import type { Layer, Scope } from '../network.ts';
import { layerNorm, linear, rmsNorm, silu } from '../nn.ts';

/** A row per token, float32 [B, N, C]. */
export type Tokens = tf.Tensor3D;
/** One conditioning vector per image, float32 [B, C]. */
export type Conditioning = tf.Tensor2D;

/** x (1 + scale) + shift, with shift and scale [B, C] (or anything that broadcasts after `expand`). */
export const modulate = (x: Tokens, shift: tf.Tensor, scale: tf.Tensor): Tokens => tf.add(tf.mul(x, tf.add(scale, 1)), shift);

/** [B, C] to [B, 1, C]. */
export const perToken = (x: tf.Tensor): Tokens => tf.reshape(x, [x.shape[0] as number, 1, x.shape[1] as number]);

/**
 * `linear(silu(conditioning))` cut into `parts` vectors of `channels`, each [B, 1, C]; starts at zero, so that a fresh block is the identity.
 * Parameters below `linear`.
 */
export const modulation = (scope: Scope, { from, channels, parts }: { from: number; channels: number; parts: number }): Layer<[Conditioning], Tokens[]> => {
  const project = linear(scope.at('linear'), { from, to: parts * channels, init: zeros, biasInit: zeros });
  return (params, conditioning) => tf.split(project(params, silu(conditioning)) as tf.Tensor2D, parts, 1).map(perToken);
};

/** A layer norm without affine map or parameters. */
export const plainNorm = (scope: Scope, channels: number, eps = 1e-6): Layer<[tf.Tensor], tf.Tensor> => layerNorm(scope, { channels, eps, affine: false });

/** `AdaLayerNormContinuous`: norm(x) (1 + scale) + shift, scale first. */
export const adaNormContinuous = (scope: Scope, { channels, eps = 1e-6 }: { channels: number; eps?: number }): Layer<[Tokens, Conditioning], Tokens> => {
  const parts = modulation(scope, { from: channels, channels, parts: 2 });
  const norm = plainNorm(scope.at('norm'), channels, eps);
  return scope.tapped((params, x, conditioning) => {
    const [scale, shift] = parts(params, conditioning) as [Tokens, Tokens];
    return modulate(norm(params, x) as Tokens, shift, scale);
  });
};

/** Normalisations of queries and keys per head, by diffusers' names. */
export const headNorms = ['rms_norm', 'layer_norm', 'fp32_layer_norm'] as const;
export type HeadNorm = (typeof headNorms)[number] | null;

/** Query or key norm on the last axis; nothing for null. */
export const headNorm = (scope: Scope, kind: HeadNorm, channels: number, eps: number): Layer<[tf.Tensor], tf.Tensor> => {
  switch (kind) {
    case null: return (_, x) => x;
    case 'rms_norm': return rmsNorm(scope, { channels, eps });
    case 'layer_norm': return layerNorm(scope, { channels, eps });
    case 'fp32_layer_norm': return layerNorm(scope, { channels, eps, affine: false });
  }
};
