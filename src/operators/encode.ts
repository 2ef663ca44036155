import type { OperatorFunction } from 'rxjs';
import * as tf from '../tf.ts';
import type { Pair } from '../streams/frames.ts';
import { mapTensors } from '../streams/mapTensors.ts';

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

/** What encoding adds. */
export type Latents = Readonly<{ sourceLatent: tf.Tensor4D; targetLatent: tf.Tensor4D }>;

/**
 * Takes both images of a pair into the space the method works in.
 *
 * Reads  source, target              float32 [B, H, W, 3] in [-1, 1]
 * Adds   sourceLatent, targetLatent  float32 [B, H / factor, W / factor, channels]; constants, no gradient
 * Timing one frame out for each frame in, synchronously; ends and fails with its source.
 * @param codec `identity` for pixel space, or a frozen autoencoder
 */
export function encode<F extends Pair>(codec: Codec): OperatorFunction<F, F & Latents> {
  return mapTensors('encode', (frame) => ({ ...frame, sourceLatent: codec.encode(frame.source), targetLatent: codec.encode(frame.target) }));
}
