/** Everything a conditional UNet or ControlNet is told beside image and time, brought to one time embedding and one list of tokens. */
import * as tf from '../../tf.ts';
import type { Layer, Params, Scope } from '../network.ts';
import { linear } from '../nn.ts';
import type { ConditionFields } from '../unet2dConditionConfig.ts';
import { imageHintEmbedding, imageProjection, imageTimeEmbedding, textImageProjection, textImageTimeEmbedding, textTimeEmbedding } from './conditioning.ts';
import { embeddingTable, sinusoids, timestepMlp } from './embeddings.ts';
import type { Attended } from './transformer2d.ts';

type Image = tf.Tensor4D;

export type Conditions = Readonly<{
  /** Tokens for cross-attention, float32 [B, M, D]: of a text, learned, or empty. */
  encoderHiddenStates?: tf.Tensor3D | undefined;
  /** 1 keeps a token, 0 hides it: float32 [B, M]. */
  encoderAttentionMask?: tf.Tensor2D | undefined;
  /** The same for positions in self-attention: float32 [B, H * W]. */
  attentionMask?: tf.Tensor2D | undefined;
  /** int32 [B]; or, as `class_embed_type` says, times [B] or vectors [B, D]. */
  classLabels?: tf.Tensor | undefined;
  /** Pooled text, float32 [B, D]. */
  textEmbeds?: tf.Tensor | undefined;
  /** SDXL's original height and width, crop top and left, target height and width: float32 [B, 6]. */
  timeIds?: tf.Tensor | undefined;
  /** float32 [B, D]. */
  imageEmbeds?: tf.Tensor | undefined;
  /** float32 [B, 8H, 8W, 3]. */
  hint?: Image | undefined;
}>;

export type Conditioned = Attended & Readonly<{ temb: tf.Tensor; hint?: Image | undefined }>;

type Wanting = ConditionFields & Readonly<{ class_embeddings_concat?: boolean }>;

/** The condition called `name`. @throws TypeError that names it and the field that asks for it */
const need = <K extends keyof Conditions>(model: string, given: Conditions, name: K, field: string): NonNullable<Conditions[K]> => {
  const value = given[name];
  if (value === undefined) throw new TypeError(`${model}: expected ${name}, which ${field} asks for, but received none`);
  return value as NonNullable<Conditions[K]>;
};

/** How times become what the first layer of an embedding takes, its width, and the embedding's. */
type TimeInput = Readonly<{ project: Layer<[tf.Tensor], tf.Tensor>; size: number; dim: number }>;

const labelLayer = (scope: Scope, model: string, config: Wanting, time: TimeInput): Layer<[given: Conditions], tf.Tensor> | undefined => {
  const { class_embed_type: type, num_class_embeds: classes, projection_class_embeddings_input_dim: size } = config;
  const labels = (given: Conditions): tf.Tensor => need(model, given, 'classLabels', type === null ? 'num_class_embeds' : 'class_embed_type');
  if (type === 'timestep') {
    const mlp = timestepMlp(scope, { from: time.size, to: time.dim, act: config.act_fn });
    return (params, given) => mlp(params, time.project(params, labels(given)));
  }
  if (type === 'identity') return (_params, given) => labels(given);
  if (type === 'projection') {
    const mlp = timestepMlp(scope, { from: size as number, to: time.dim });
    return (params, given) => mlp(params, labels(given));
  }
  if (type === 'simple_projection') {
    const project = linear(scope, { from: size as number, to: time.dim });
    return (params, given) => project(params, labels(given));
  }
  if (classes === null) return undefined;
  const table = embeddingTable(scope, { rows: classes, width: time.dim });
  return (params, given) => table(params, labels(given));
};

type Addition = Layer<[given: Conditions], Readonly<{ added: tf.Tensor; hint?: Image }>>;

const additionLayer = (root: Scope, model: string, config: Wanting, dim: number): Addition | undefined => {
  const { addition_embed_type: type, encoder_hid_dim: hidden, cross_attention_dim: context, addition_time_embed_dim: width, flip_sin_to_cos: cosFirst, freq_shift: freqShift } = config;
  const scope = root.at('add_embedding');
  const field = `addition_embed_type ${type}`;
  const images = (given: Conditions): tf.Tensor => need(model, given, 'imageEmbeds', field);
  switch (type) {
    case null: return undefined;
    case 'text': {
      const embed = textTimeEmbedding(scope, { from: hidden ?? context as number, to: dim, heads: config.addition_embed_type_num_heads });
      return (params, given) => ({ added: embed(params, need(model, given, 'encoderHiddenStates', field)) });
    }
    case 'text_image': {
      const embed = textImageTimeEmbedding(scope, { text: context as number, image: context as number, to: dim });
      return (params, given) => ({ added: embed(params, given.textEmbeds ?? need(model, given, 'encoderHiddenStates', field), images(given)) });
    }
    case 'text_time': {
      const embed = timestepMlp(scope, { from: config.projection_class_embeddings_input_dim as number, to: dim });
      const project = root.at('add_time_proj').tapped((_params, sizes: tf.Tensor) => sinusoids(sizes, width as number, { cosFirst, freqShift }));
      return (params, given) => {
        const text = need(model, given, 'textEmbeds', field);
        const sizes = project(params, need(model, given, 'timeIds', field));
        return { added: embed(params, tf.concat([text, tf.reshape(sizes, [text.shape[0] as number, -1])], 1)) };
      };
    }
    case 'image': {
      const embed = imageTimeEmbedding(scope, { from: hidden as number, to: dim });
      return (params, given) => ({ added: embed(params, images(given)) });
    }
    case 'image_hint': {
      const embed = imageHintEmbedding(scope, { from: hidden as number, to: dim });
      return (params, given) => {
        const [added, hint] = embed(params, images(given), need(model, given, 'hint', field));
        return { added, hint };
      };
    }
  }
};

const tokenLayer = (scope: Scope, model: string, { encoder_hid_dim: hidden, encoder_hid_dim_type: type, cross_attention_dim: to }: Wanting): Layer<[given: Conditions], tf.Tensor3D | undefined> => {
  const kind = type ?? (hidden === null ? null : 'text_proj');
  const from = hidden as number;
  const field = `encoder_hid_dim_type ${kind}`;
  if (kind === 'text_proj') {
    const project = linear(scope, { from, to: to as number });
    return (params, given) => project(params, need(model, given, 'encoderHiddenStates', field)) as tf.Tensor3D;
  }
  if (kind === 'text_image_proj') {
    const project = textImageProjection(scope, { text: from, image: to as number, to: to as number });
    return (params, given) => project(params, need(model, given, 'encoderHiddenStates', field), need(model, given, 'imageEmbeds', field));
  }
  if (kind === 'image_proj') {
    const project = imageProjection(scope, { from, to: to as number });
    return (params, given) => project(params, need(model, given, 'imageEmbeds', field));
  }
  return (_params, given) => given.encoderHiddenStates;
};

const bias = (mask: tf.Tensor2D | undefined): tf.Tensor | undefined => mask && tf.reshape(tf.mul(tf.sub(1, mask), -10_000), [mask.shape[0], 1, 1, mask.shape[1]]);

/** Registers what the configuration asks for. @returns a layer of the time embedding and the conditions to what the blocks are given */
export const conditionLayers = (root: Scope, model: string, config: Wanting, time: TimeInput):
((params: Params, timed: tf.Tensor, given: Conditions) => Conditioned) => {
  const label = labelLayer(root.at('class_embedding'), model, config, time);
  const addition = additionLayer(root, model, config, time.dim);
  const tokens = tokenLayer(root.at('encoder_hid_proj'), model, config);
  return (params, timed, given) => {
    if (!label && given.classLabels) throw new TypeError(`${model}: classLabels came, but the network has no class embedding (class_embed_type, num_class_embeds)`);
    const labelled = ((): tf.Tensor => {
      if (!label) return timed;
      return config.class_embeddings_concat ? tf.concat([timed, label(params, given)], 1) : tf.add(timed, label(params, given));
    })();
    const extra = addition?.(params, given);
    return {
      temb: extra ? tf.add(labelled, extra.added) : labelled, hint: extra?.hint, tokens: tokens(params, given),
      tokenBias: bias(given.encoderAttentionMask), selfBias: bias(given.attentionMask),
    };
  };
};
