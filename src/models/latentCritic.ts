import type * as tf from '../tf.ts';
import { leakyRelu } from './leakyRelu.ts';
import { type Network, buildNetwork } from './network.ts';
import { conv2d } from './nn.ts';

/**
 * Builds a critic of latents, which are too small for one of images: `(latent) -> logits`, both float32 [B, h, w, ...], by 3 x 3 convolutions without norms.
 * @param options.channels of the latent @param options.base width @param options.layers hidden layers; each sees one cell more on every side
 * @throws RangeError for less than one layer
 */
export const latentCritic = ({ channels, base, layers = 3 }: { channels: number; base: number; layers?: number }): Network<[latent: tf.Tensor4D], tf.Tensor4D> => {
  if (!Number.isInteger(layers) || layers < 1) throw new RangeError(`latentCritic: expected layers to be a positive integer but received ${layers}`);
  return buildNetwork('latentCritic', { channels, base, layers }, (root) => {
    const hidden = Array.from({ length: layers }, (_, i) => conv2d(root.at('layers').at(i), { from: i === 0 ? channels : base, to: base, padding: 1 }));
    const judge = conv2d(root.at('layers').at(layers), { from: base, to: 1, padding: 1 });
    return (params, latent) => judge(params, hidden.reduce((x, layer) => leakyRelu(layer(params, x)), latent));
  });
};
