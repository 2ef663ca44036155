/**
 * Conditional networks without text: the tokens they attend to become parameters of the network itself. They are learned from a start at zero, kept fixed,
 * or taken from a text encoder once and cached; image-to-image methods then call the network with image and time alone.
 */
import * as tf from '../tf.ts';
import { type Init, gaussian, zeros } from './init.ts';
import type { StateDict } from './net.ts';
import { type Network, type ParamSpec, type Params, type Shape, param } from './network.ts';
import type { Unet2dCondition, UnetGiven } from './unet2dCondition.ts';

/** Where the parameters of the conditioning are: apart from the network's own, so that saving can leave them out. */
const prefix = 'conditioning.';

/** Names of the conditioning's parameters. */
export const conditioningNames = { tokens: `${prefix}encoder_hidden_states`, pooled: `${prefix}text_embeds` } as const;

export const isConditioning = (name: string): boolean => name.startsWith(prefix);

export type TextFreeOptions = Readonly<{
  /** Tokens to attend to; 77, as of CLIP, fits cached texts. 1 by default: attention to one token is a learned offset. */
  tokens?: number;
  /**
   * `learned`: trained with the rest, from small random numbers. `fixed`: a buffer, zero unless weights are given under `conditioningNames`, such as
   * cached text embeddings.
   */
  mode?: 'learned' | 'fixed';
  /** SDXL's sizes, in pixels: original height and width, crop top and left, target height and width. */
  timeIds?: readonly [number, number, number, number, number, number];
}>;

const single = (value: number | readonly number[], field: string): number => {
  if (typeof value !== 'number' && value.some((n) => n !== value[0])) throw new RangeError(`textFree: expected one width of tokens but ${field} is [${value.join(', ')}]`);
  return typeof value === 'number' ? value : value[0] as number;
};

/**
 * A conditional UNet as a network of `(sample, timestep, given)`, whose tokens (and SDXL's pooled text and sizes) are given by parameters of its own:
 *   conditioning.encoder_hidden_states  float32 [1, tokens, width]
 *   conditioning.text_embeds            float32 [1, width], for networks with `text_time`
 * Anything in `given` takes their place for that call.
 * @throws RangeError when `tokens` is not a positive integer, TypeError when the network wants conditions that are neither text nor sizes
 */
export const textFree = (unet: Unet2dCondition, { tokens = 1, mode = 'learned', timeIds = [512, 512, 0, 0, 512, 512] }: TextFreeOptions = {}):
Network<[sample: tf.Tensor4D, timestep: tf.Tensor, given?: UnetGiven], tf.Tensor4D> => {
  if (!Number.isInteger(tokens) || tokens < 1) throw new RangeError(`textFree: expected tokens to be a positive integer but received ${tokens}`);
  const { config } = unet;
  const addition = config.addition_embed_type;
  if (addition !== null && addition !== 'text_time' && addition !== 'text') throw new TypeError(`textFree: expected a network conditioned on text but its addition_embed_type is ${addition}`);
  const projection = config.encoder_hid_dim_type;
  if (projection === 'image_proj' || projection === 'text_image_proj') throw new TypeError(`textFree: expected a network conditioned on text but its encoder_hid_dim_type is ${projection}`);
  const width = config.encoder_hid_dim ?? single(config.cross_attention_dim, 'cross_attention_dim');
  const init: Init = mode === 'learned' ? gaussian(0.02) : zeros;
  const specOf = (shape: Shape): ParamSpec => ({ shape, init, buffer: mode === 'fixed', adaptable: false });
  const specs = new Map(unet.specs).set(conditioningNames.tokens, specOf([1, tokens, width]));
  const pooled = addition === 'text_time' ? (config.projection_class_embeddings_input_dim as number) - 6 * (config.addition_time_embed_dim as number) : undefined;
  if (pooled !== undefined) specs.set(conditioningNames.pooled, specOf([1, pooled]));
  /** One row to all images of the batch. */
  const spread = (params: Params, name: string, batch: number): tf.Tensor => {
    const row = param(params, name);
    return tf.add(row, tf.zeros([batch, ...row.shape.slice(1)]));
  };
  return {
    ...unet, name: `${unet.name} without text`, specs,
    apply: (params, sample, timestep, given = {}) => {
      const [batch] = sample.shape;
      const sizes = pooled === undefined ? {} : {
        textEmbeds: given.textEmbeds ?? spread(params, conditioningNames.pooled, batch),
        timeIds: given.timeIds ?? tf.tensor2d(Array.from({ length: batch }, () => [...timeIds])),
      };
      return unet.apply(params, sample, timestep, { encoderHiddenStates: spread(params, conditioningNames.tokens, batch) as tf.Tensor3D, ...sizes, ...given });
    },
  };
};

/** A state dict without the conditioning's parameters: what the reference's network loads. */
export const withoutConditioning = (state: StateDict): StateDict => Object.fromEntries(Object.entries(state).filter(([name]) => !isConditioning(name)));
