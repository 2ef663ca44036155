import * as tf from '../tf.ts';
import type { Network } from './network.ts';

/**
 * A critic of pairs from a critic of images with as many channels as both have together: `(image, condition?) -> logits`, the condition before the image on the
 * channel axis. Gradient penalties are then those of the image alone.
 */
export const pairCritic = <O>(critic: Network<[image: tf.Tensor4D], O>): Network<[image: tf.Tensor4D, condition?: tf.Tensor4D], O> =>
  ({ ...critic, apply: (params, image, condition) => critic.apply(params, condition ? tf.concat([condition, image], 3) : image) });
