/** Changes of images and their latents alike, as options: which ones an autoencoder is trained to be equivariant to. */
import { z } from 'zod';
import { affineTransformed, blended, cropped, flipped } from '../losses/equivariance.ts';
import { eqWindowed } from '../losses/equivarianceWindow.ts';
import type { View, Views } from '../models/vae.ts';
import { type Key, fold } from '../random.ts';
import type * as tf from '../tf.ts';

const share = (value: number, text: string) => z.number().min(0).max(1).default(value).describe(text);

/** All are off by default. */
export const equivarianceOptions = () => z.object({
  eqVae: share(0, 'weight of EQ-VAE\'s scaled and turned images against plain ones; 0.5 in the source'),
  small: share(0.25, 'with EQ-VAE, share of the plain ones that are made smaller before they are encoded'),
  least: z.number().gt(0).lt(1).default(0.25).describe('with EQ-VAE, the smallest scale; also the side of the window that is compared'),
  affine: share(0, 'share of images that are turned, scaled, sheared and shifted; 0.5 in HakuLatent'),
  blend: share(0, 'share of images that are blended with another; 0.5 in HakuLatent'),
  flip: share(0, 'share of images that are flipped, each way, with the signs of two latent channels each; 0.5 in vqgan-training'),
  crop: share(0, 'side of a random window in place of the whole, as a share; off with 0'),
});
type Equivariance = z.output<ReturnType<typeof equivarianceOptions>>;

/** What each view counts for: the probabilities of the published branches, all of which are taken at every step. */
export const viewWeights = ({ eqVae, small }: Equivariance): readonly number[] => (eqVae === 0 ? [1] : [(1 - eqVae) * (1 - small), eqVae, ...(small > 0 ? [(1 - eqVae) * small] : [])]);

/**
 * The views of one step: the image with its reconstruction, both changed as asked for; then those of EQ-VAE.
 * @param key draws the changes, as functions of the step
 */
export const viewsAt = ({ eqVae, small, least, affine, blend, flip, crop }: Equivariance, key: Key, step: number): Views => ({ image, latent, code, decode }) => {
  const at = fold(key, 'equivariance', step);
  let both = { image, latent };
  if (affine > 0) both = affineTransformed(both, fold(at, 'affine'), { share: affine });
  if (blend > 0) both = blended(both, fold(at, 'blend'), { share: blend });
  if (flip > 0) both = flipped(both, fold(at, 'flip'), { share: flip });
  if (crop > 0) both = cropped(both, fold(at, 'crop'), { side: Math.max(1, Math.round(latent.shape[1] * crop)) });
  const seen = (one: { image: tf.Tensor4D; latent: tf.Tensor4D }): View => ({ image: one.image, output: decode(one.latent) });
  if (eqVae === 0) return [seen(both)];
  const turned = eqWindowed({ image, latent }, fold(at, 'eq'), { least });
  if (small === 0) return [seen(both), seen(turned)];
  const { image: less } = eqWindowed({ image, latent }, fold(at, 'small'), { least });
  return [seen(both), seen(turned), seen({ image: less, latent: code(less) })];
};
