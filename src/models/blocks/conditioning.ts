/** How conditions other than time enter the conditional UNets: pooled texts, sizes, image embeddings and hints. */
import * as tf from '../../tf.ts';
import { gaussian } from '../init.ts';
import { type Layer, type Scope, param } from '../network.ts';
import { attend, conv2d, joinHeads, layerNorm, linear, silu, splitHeads } from '../nn.ts';
import { plain, sequential } from './sequential.ts';

type Image = tf.Tensor4D;

/** A layer of tokens [B, M, from] to one vector [B, to]: norm, attention from their mean, linear, norm. @source diffusers `TextTimeEmbedding` */
export const textTimeEmbedding = (scope: Scope, { from, to, heads }: { from: number; to: number; heads: number }): Layer<[tokens: tf.Tensor3D], tf.Tensor2D> => {
  const norm1 = layerNorm(scope.at('norm1'), { channels: from });
  const pool = scope.at('pool');
  const position = pool.param('positional_embedding', [1, from], gaussian(1 / Math.sqrt(from)));
  const project = (name: string): Layer<[tf.Tensor], tf.Tensor> => linear(pool.at(name), { from, to: from });
  const [toK, toQ, toV] = [project('k_proj'), project('q_proj'), project('v_proj')];
  const out = linear(scope.at('proj'), { from, to });
  const norm2 = layerNorm(scope.at('norm2'), { channels: to });
  return scope.tapped((params, tokens) => {
    const x = norm1(params, tokens);
    const mean = tf.add(tf.mean(x, 1, true), param(params, position));
    const all = tf.concat([mean, x], 1);
    const y = joinHeads(attend(splitHeads(toQ(params, mean), heads), splitHeads(toK(params, all), heads), splitHeads(toV(params, all), heads)));
    return norm2(params, out(params, tf.reshape(y, [tokens.shape[0], from]))) as tf.Tensor2D;
  });
};

/** An image embedding [B, from] to [B, to]: linear, norm. @source diffusers `ImageTimeEmbedding` */
export const imageTimeEmbedding = (scope: Scope, { from, to }: { from: number; to: number }): Layer<[embedding: tf.Tensor], tf.Tensor> => {
  const project = linear(scope.at('image_proj'), { from, to });
  const norm = layerNorm(scope.at('image_norm'), { channels: to });
  return scope.tapped((params, embedding) => norm(params, project(params, embedding)));
};

/** The same, and a hint image [B, 8h, 8w, 3] to [B, h, w, 4]. @source diffusers `ImageHintTimeEmbedding` */
export const imageHintEmbedding = (scope: Scope, { from, to }: { from: number; to: number }): Layer<[embedding: tf.Tensor, hint: Image], readonly [tf.Tensor, Image]> => {
  const embed = imageTimeEmbedding({ ...scope, tapped: (layer) => layer }, { from, to });
  const steps = [[3, 16, 1], [16, 16, 1], [16, 32, 2], [32, 32, 1], [32, 96, 2], [96, 96, 1], [96, 256, 2], [256, 4, 1]] as const;
  const convs = steps.map(([inner, outer, stride]) => (place: Scope) => conv2d(place, { from: inner, to: outer, stride, padding: 1 }));
  const block = sequential(scope.at('input_hint_block'), convs.flatMap((conv, i) => (i === convs.length - 1 ? [conv] : [conv, plain(silu)])));
  return scope.tapped((params, embedding, hint) => [embed(params, embedding), block(params, hint)] as const);
};

/** Text and image embeddings, each by a linear layer, the text's then normed, summed. @source diffusers `TextImageTimeEmbedding` */
export const textImageTimeEmbedding = (scope: Scope, { text, image, to }: { text: number; image: number; to: number }): Layer<[text: tf.Tensor, image: tf.Tensor], tf.Tensor> => {
  const textProj = linear(scope.at('text_proj'), { from: text, to });
  const norm = layerNorm(scope.at('text_norm'), { channels: to });
  const imageProj = linear(scope.at('image_proj'), { from: image, to });
  return scope.tapped((params, texts, images) => tf.add(imageProj(params, images), norm(params, textProj(params, texts))));
};

/** One image embedding [B, from] to several tokens [B, count, to]. @source diffusers `ImageProjection` */
export const imageProjection = (scope: Scope, { from, to, count = 32 }: { from: number; to: number; count?: number }): Layer<[embedding: tf.Tensor], tf.Tensor3D> => {
  const project = linear(scope.at('image_embeds'), { from, to: count * to });
  const norm = layerNorm(scope.at('norm'), { channels: to });
  return scope.tapped((params, embedding) => norm(params, tf.reshape(project(params, embedding), [embedding.shape[0] as number, count, to])) as tf.Tensor3D);
};

/** Tokens of an image embedding, before projected text tokens. @source diffusers `TextImageProjection` */
export const textImageProjection = (scope: Scope, { text, image, to, count = 10 }: {
  text: number; image: number; to: number; count?: number;
}): Layer<[text: tf.Tensor3D, image: tf.Tensor], tf.Tensor3D> => {
  const imageProj = linear(scope.at('image_embeds'), { from: image, to: count * to });
  const textProj = linear(scope.at('text_proj'), { from: text, to });
  return scope.tapped((params, texts, images) => tf.concat([tf.reshape(imageProj(params, images), [texts.shape[0], count, to]), textProj(params, texts)], 1) as tf.Tensor3D);
};
