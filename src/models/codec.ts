/** The spaces methods work in. */
import * as tf from '../tf.ts';

/** A frozen way into the space a method works in, and back. Both are called inside a tidy and must record the same graph at every step. */
export type Codec = Readonly<{
  /** float32 [B, H, W, 3] in [-1, 1] to [B, H / factor, W / factor, channels], scaled to about unit variance. */
  encode: (image: tf.Tensor4D) => tf.Tensor4D;
  /** The way back; differentiable, since objectives may look at pixels. */
  decode: (latent: tf.Tensor4D) => tf.Tensor4D;
  /** Pixels per latent cell along one side. */
  factor: number;
  /** Channels of the latent. */
  channels: number;
}>;

/** Pixels themselves. */
export const identity: Codec = { encode: (image) => tf.clone(image), decode: (latent) => tf.clone(latent), factor: 1, channels: 3 };

/** What estimates in a space are held to, for whatever takes a `limit`: pixels stay in [-1, 1], latents are free. */
export const limitOf = ({ factor }: Pick<Codec, 'factor'>): Readonly<{ limit?: (estimate: tf.Tensor4D) => tf.Tensor4D }> =>
  (factor === 1 ? { limit: (estimate) => tf.clipByValue(estimate, -1, 1) } : {});

/** Both images of a pair in such a space: float32 [B, H / factor, W / factor, channels]. */
export type Latents = Readonly<{ sourceLatent: tf.Tensor4D; targetLatent: tf.Tensor4D }>;
