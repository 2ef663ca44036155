/** Conditioning vectors of transformers. @source diffusers `embeddings.py` */
import * as tf from '../../tf.ts';
import { sinusoids, timestepMlp } from '../blocks/embeddings.ts';
import type { Layer, Scope } from '../network.ts';
import { geluTanh, linear, silu } from '../nn.ts';
import type { Conditioning } from './adaNorm.ts';

/** Width of the sinusoids of a scalar. */
const waves = 256;

/** Sinusoids and two linear layers: [B] to [B, channels]. @param options.freqShift 1 for DiT */
export const scalarEmbedding = (scope: Scope, channels: number, { freqShift = 0 }: { freqShift?: number } = {}): Layer<[tf.Tensor], Conditioning> => {
  const mlp = timestepMlp(scope, { from: waves, to: channels });
  return (params, t) => mlp(params, sinusoids(t, waves, { freqShift })) as Conditioning;
};

/** `PixArtAlphaTextProjection`: two linear layers on the last axis. */
export const textProjection = (scope: Scope, { from, to, activation }: { from: number; to: number; activation: 'silu' | 'gelu_tanh' }): Layer<[tf.Tensor], tf.Tensor> => {
  const first = linear(scope.at('linear_1'), { from, to });
  const second = linear(scope.at('linear_2'), { from: to, to });
  return scope.tapped((params, x) => second(params, (activation === 'silu' ? silu : geluTanh)(first(params, x))));
};

/** Time, pooled text and, where asked for, a guidance scale, added up. */
export const timeTextEmbedding = (scope: Scope, { channels, pooled, guidance }: { channels: number; pooled: number; guidance: boolean }): Layer<[t: tf.Tensor, pooled: tf.Tensor, guidance?: tf.Tensor | undefined], Conditioning> => {
  const time = scalarEmbedding(scope.at('timestep_embedder'), channels);
  const guide = guidance ? scalarEmbedding(scope.at('guidance_embedder'), channels) : undefined;
  const text = textProjection(scope.at('text_embedder'), { from: pooled, to: channels, activation: 'silu' });
  return scope.tapped((params, t, vector, scale) => {
    if (guide && !scale) throw new TypeError(`${scope.path}: expected a guidance scale per image, since the network embeds one, but received none`);
    if (!guide && scale) throw new TypeError(`${scope.path}: a guidance scale came, but the network has no guidance_embeds`);
    const sum = tf.add<Conditioning>(time(params, t), text(params, vector));
    return guide && scale ? tf.add<Conditioning>(sum, guide(params, scale)) : sum;
  });
};
