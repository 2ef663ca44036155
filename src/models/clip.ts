/**
 * CLIP: the text transformer under Stable Diffusion, and the pair of text and image transformers whose cosine says how well a picture fits a caption. Parameters have the
 * names of transformers' `CLIPTextModel` and `CLIPModel`.
 * @source Radford et al. 2021, arXiv 2103.00020, sec. 2.4
 */
import { z } from 'zod';
import * as tf from '../tf.ts';
import { ConfigError } from '../errors.ts';
import { attendBiased } from './blocks/attention.ts';
import { gaussian } from './init.ts';
import { count } from './modelConfig.ts';
import { type Layer, type Network, type Scope, buildNetwork, param } from './network.ts';
import { conv2d, gelu, joinHeads, layerNorm, linear, splitHeads } from './nn.ts';

type Tokens = tf.Tensor3D;

const activations = { gelu, quick_gelu: <T extends tf.Tensor>(x: T): T => tf.mul(x, tf.sigmoid(tf.mul(x, 1.702))) };

// The defaults are those of transformers; its files leave out what equals them. Fields that only concern training or the tokenizer are passed over.
const tower = (width: number, heads: number, inner: number) => ({
  hidden_size: count.default(width), intermediate_size: count.default(inner), num_hidden_layers: count.default(12), num_attention_heads: count.default(heads),
  hidden_act: z.enum(['gelu', 'quick_gelu']).default('quick_gelu'), layer_norm_eps: z.number().positive().default(1e-5),
});
const textSchema = z.object({ ...tower(512, 8, 2048), vocab_size: count.default(49408), max_position_embeddings: count.default(77) });
const visionSchema = z.object({ ...tower(768, 12, 3072), image_size: count.default(224), patch_size: count.default(32), num_channels: z.literal(3).default(3) });
const clipSchema = z.object({ text_config: textSchema.default(textSchema.parse({})), vision_config: visionSchema.default(visionSchema.parse({})), projection_dim: count.default(512) });

export type ClipTextConfig = z.output<typeof textSchema>;
export type ClipConfig = z.output<typeof clipSchema>;
type TowerConfig = Pick<ClipTextConfig, 'hidden_size' | 'intermediate_size' | 'num_hidden_layers' | 'num_attention_heads' | 'hidden_act' | 'layer_norm_eps'>;

const parsed = <S extends z.ZodType>(model: string, schema: S, raw: unknown): z.output<S> => {
  const result = schema.safeParse(raw);
  if (result.success) return result.data;
  const [{ path, message }] = result.error.issues as [z.core.$ZodIssue];
  throw new ConfigError(path.join('.'), `${model}: ${path.join('.')}: ${message}`, result.error);
};

/** One block: x + attention(norm(x)), then x + mlp(norm(x)). */
const block = (scope: Scope, { hidden_size: width, intermediate_size: inner, num_attention_heads: heads, hidden_act: act, layer_norm_eps: eps }: TowerConfig): Layer<[Tokens, tf.Tensor?], Tokens> => {
  const [norm1, norm2] = ['layer_norm1', 'layer_norm2'].map((name) => layerNorm(scope.at(name), { channels: width, eps })) as [Layer<[tf.Tensor], tf.Tensor>, Layer<[tf.Tensor], tf.Tensor>];
  const [q, k, v, out] = ['q_proj', 'k_proj', 'v_proj', 'out_proj'].map((name) => linear(scope.at('self_attn').at(name), { from: width, to: width })) as [Layer<[tf.Tensor], tf.Tensor>, Layer<[tf.Tensor], tf.Tensor>, Layer<[tf.Tensor], tf.Tensor>, Layer<[tf.Tensor], tf.Tensor>];
  const fc1 = linear(scope.at('mlp.fc1'), { from: width, to: inner });
  const fc2 = linear(scope.at('mlp.fc2'), { from: inner, to: width });
  return scope.tapped((params, x, mask) => {
    const seen = norm1(params, x);
    const [ofQ, ofK, ofV] = [q, k, v].map((project) => splitHeads(project(params, seen), heads)) as [tf.Tensor, tf.Tensor, tf.Tensor];
    const y = tf.add<Tokens>(x, out(params, joinHeads(attendBiased(ofQ, ofK, ofV, mask))));
    return tf.add(y, fc2(params, activations[act](fc1(params, norm2(params, y)))));
  });
};

/** All blocks; returns what went out of each. */
const encoder = (scope: Scope, config: TowerConfig): Layer<[Tokens, tf.Tensor?], Tokens[]> => {
  const blocks = Array.from({ length: config.num_hidden_layers }, (_, i) => block(scope.at('layers').at(i), config));
  return (params, x, mask) => {
    let h = x;
    return blocks.map((run) => { h = run(params, h, mask); return h; });
  };
};

/** What is seen of later tokens: nothing. float32 [n, n], added to scores. */
const causal = (n: number): tf.Tensor2D => tf.tensor2d(Float32Array.from({ length: n * n }, (_, i) => (i % n > Math.floor(i / n) ? -1e9 : 0)), [n, n]);

/** A text: every token after the last norm, and the one at the end of the text. */
export type ClipText = Readonly<{
  /** float32 [B, N, width]: what diffusion networks attend to. */
  hidden: Tokens;
  /** float32 [B, width], at the end-of-text token. */
  pooled: tf.Tensor2D;
}>;

const textTower = (root: Scope, config: ClipTextConfig): Layer<[tf.Tensor2D], ClipText> => {
  const { hidden_size: width, max_position_embeddings: positions, layer_norm_eps: eps } = config;
  const scope = root.at('text_model');
  const tokens = scope.at('embeddings.token_embedding').param('weight', [config.vocab_size, width], gaussian(0.02));
  const places = scope.at('embeddings.position_embedding').param('weight', [positions, width], gaussian(0.02));
  const run = encoder(scope.at('encoder'), config);
  const norm = layerNorm(scope.at('final_layer_norm'), { channels: width, eps });
  return (params, ids) => {
    const [batch, n] = ids.shape;
    if (n > positions) throw new RangeError(`clip: expected at most ${positions} tokens but received ${n}`);
    const embedded = tf.reshape(tf.gather(param(params, tokens), tf.reshape(ids, [-1])), [batch, n, width]);
    const hidden = norm(params, run(params, tf.add(embedded, tf.slice(param(params, places), [0, 0], [n, width])), causal(n)).at(-1) as Tokens) as Tokens;
    // The end-of-text token has the highest id there is.
    const end = tf.reshape(tf.oneHot(tf.argMax(ids, 1) as tf.Tensor1D, n, 1, 0, 'float32'), [batch, n, 1]);
    return { hidden, pooled: tf.sum(tf.mul(hidden, end), 1) };
  };
};

/**
 * Builds a text transformer: `(ids) -> text`, ids int32 [B, N] with N <= max_position_embeddings (see `clipTokenizer.ts`).
 * @param raw what `text_encoder/config.json` holds
 * @throws ConfigError for a value that does not fit
 */
export const clipText = (raw: Readonly<Record<string, unknown>> = {}): Network<[ids: tf.Tensor2D], ClipText> => {
  const config = parsed('CLIPTextModel', textSchema, raw);
  return buildNetwork('CLIPTextModel', config, (root) => textTower(root, config));
};

/** An image: its class token at the end, and the patches on the way. */
export type ClipImage = Readonly<{
  /** float32 [B, projection_dim], not normalised. */
  embedding: tf.Tensor2D;
  /** float32 [B, h, w, width] after each block. */
  maps: readonly tf.Tensor4D[];
}>;

/** Mean and deviation of the images CLIP was trained on, in [0, 1]. */
const pixelMean = [0.48145466, 0.4578275, 0.40821073];
const pixelStd = [0.26862954, 0.26130258, 0.27577711];

/** Images in [-1, 1] as CLIP wants them. */
export const clipPixels = (image: tf.Tensor4D): tf.Tensor4D => tf.div(tf.sub(image, pixelMean.map((m) => 2 * m - 1)), pixelStd.map((s) => 2 * s));

const visionTower = (root: Scope, config: ClipConfig['vision_config'], to: number): Layer<[tf.Tensor4D], ClipImage> => {
  const { hidden_size: width, image_size: size, patch_size: patch, layer_norm_eps: eps } = config;
  const scope = root.at('vision_model');
  const side = size / patch;
  const first = scope.at('embeddings').param('class_embedding', [width], gaussian(0.02));
  const patches = conv2d(scope.at('embeddings.patch_embedding'), { from: 3, to: width, kernel: patch, stride: patch, bias: false });
  const places = scope.at('embeddings.position_embedding').param('weight', [side * side + 1, width], gaussian(0.02));
  const before = layerNorm(scope.at('pre_layrnorm'), { channels: width, eps });
  const run = encoder(scope.at('encoder'), config);
  const after = layerNorm(scope.at('post_layernorm'), { channels: width, eps });
  const project = linear(root.at('visual_projection'), { from: width, to, bias: false });
  return (params, image) => {
    const [batch, height, breadth] = image.shape;
    if (height !== size || breadth !== size) throw new RangeError(`clip: expected images of ${size} x ${size} pixels but received ${breadth} x ${height}`);
    const classToken = tf.add(tf.reshape(param(params, first), [1, 1, width]), tf.zeros([batch, 1, width]));
    const tokens = tf.concat([classToken, tf.reshape(patches(params, image), [batch, side * side, width])], 1);
    const outs = run(params, before(params, tf.add(tokens, param(params, places))) as Tokens);
    const last = tf.reshape(tf.slice(outs.at(-1) as Tokens, [0, 0, 0], [batch, 1, width]), [batch, width]);
    return {
      embedding: project(params, after(params, last)) as tf.Tensor2D,
      maps: outs.map((out) => tf.reshape(tf.slice(out, [0, 1, 0], [batch, side * side, width]), [batch, side, side, width])),
    };
  };
};

export type Clip = Network<[ids: tf.Tensor2D, image: tf.Tensor4D], tf.Tensor2D> & Readonly<{
  config: ClipConfig;
  /** float32 [B, projection_dim], not normalised. */
  text: Layer<[ids: tf.Tensor2D], tf.Tensor2D>;
  /** Images as `clipPixels` makes them, of `image_size` pixels. */
  image: Layer<[image: tf.Tensor4D], ClipImage>;
}>;

const unit = (x: tf.Tensor2D): tf.Tensor2D => tf.div(x, tf.sqrt(tf.sum(tf.square(x), 1, true)));

/** 100 times the cosine, once trained: exp(logit_scale) * cos. float32 [B, B'] of B images and B' texts. */
export const clipLogits = (scale: tf.Tensor, image: tf.Tensor2D, text: tf.Tensor2D): tf.Tensor2D => tf.mul(tf.matMul(unit(image), unit(text), false, true), tf.exp(scale));

/**
 * Builds CLIP: `(ids, image) -> logits`, float32 [images, texts].
 * @param raw what `config.json` of a CLIPModel holds
 * @throws ConfigError for a value that does not fit
 */
export const clip = (raw: Readonly<Record<string, unknown>> = {}): Clip => {
  const config = parsed('CLIPModel', clipSchema, raw);
  const built: { parts?: Pick<Clip, 'text' | 'image'> } = {};
  const network = buildNetwork<[tf.Tensor2D, tf.Tensor4D], tf.Tensor2D>('CLIPModel', config, (root) => {
    const words = textTower(root, config.text_config);
    const project = linear(root.at('text_projection'), { from: config.text_config.hidden_size, to: config.projection_dim, bias: false });
    const image = visionTower(root, config.vision_config, config.projection_dim);
    const text: Clip['text'] = (params, ids) => project(params, words(params, ids).pooled) as tf.Tensor2D;
    built.parts = { text, image };
    const scale = root.param('logit_scale', [], gaussian(0, Math.log(100)));
    return (params, ids, pixels) => clipLogits(param(params, scale), image(params, pixels).embedding, text(params, ids));
  });
  return { ...network, ...(built.parts as Pick<Clip, 'text' | 'image'>), config };
};
