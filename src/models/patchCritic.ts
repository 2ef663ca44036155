/**
 * PatchGAN: a convolutional critic that judges every patch of an image.
 * @source Isola et al. 2016 (pix2pix), arXiv 1611.07004, section 6.1.2; `NLayerDiscriminator` of pytorch-CycleGAN-and-pix2pix and of latent-diffusion
 */
import * as tf from '../tf.ts';
import { type Init, gaussian, zeros } from './init.ts';
import { leakyRelu } from './leakyRelu.ts';
import { type Layer, type Network, type Scope, buildNetwork } from './network.ts';
import { conv2d, groupNorm } from './nn.ts';
import { batchNorm, instanceNorm } from './norms.ts';
import { spectralConv2d } from './spectralNorm.ts';

type Image = tf.Tensor4D;

/** `batch` uses the statistics of the batch it sees, always. `spectral` normalises every weight instead of activations. */
export type CriticNorm = 'none' | 'instance' | 'group' | 'batch' | 'spectral';

export type PatchCriticConfig = Readonly<{
  /** Channels of the image that is judged. */
  channels: number;
  /** Channels of the image it is judged against; 0 for an unconditional critic. */
  conditionChannels: number;
  /** Width of the first layer; it doubles up to 8 times that. */
  base: number;
  /** Convolutions of stride 2: 1, 2, 3 see patches of 16, 34, 70 px. */
  layers: number;
  norm: CriticNorm;
  /** Groups of `group` norm. */
  groups: number;
  /** First part of the state dict's names: `model` in pix2pix, `main` in latent diffusion. */
  prefix: 'model' | 'main';
}>;

const defaults: PatchCriticConfig = { channels: 3, conditionChannels: 0, base: 64, layers: 3, norm: 'batch', groups: 8, prefix: 'model' };
const gain: Init = gaussian(0.02, 1);

const normalisation = (scope: Scope, channels: number, { norm, groups }: PatchCriticConfig): Layer<[Image], Image> => {
  if (norm === 'batch') return batchNorm(scope, { channels, evaluate: 'batch', init: gain });
  if (norm === 'group') return groupNorm(scope, { channels, groups: Math.min(groups, channels) }) as Layer<[Image], Image>;
  return norm === 'instance' ? instanceNorm(scope) : (_params, x) => x;
};

/**
 * Builds the critic: `(image, condition?) -> logits`.
 *   image      float32 [B, H, W, channels], in [-1, 1]
 *   condition  float32 [B, H, W, conditionChannels]; goes before the image on the channel axis
 *   logits     float32 [B, h, w, 1], raw; h = H / 2^layers - 2 for H a multiple of 2^layers
 * Fresh weights are N(0, 0.02), batch norm's gains N(1, 0.02), biases 0.
 * @throws RangeError for layers below 1 or an unknown norm; TypeError when applied with a condition it does not expect, or without one it does
 */
export const patchCritic = (options: Partial<PatchCriticConfig> = {}): Network<[image: Image, condition?: Image], Image> => {
  const config = { ...defaults, ...options };
  const { channels, conditionChannels, base, layers, norm, prefix } = config;
  if (!Number.isInteger(layers) || layers < 1) throw new RangeError(`patchCritic: expected layers to be a positive integer but received ${layers}`);
  if (!['none', 'instance', 'group', 'batch', 'spectral'].includes(norm)) throw new RangeError(`patchCritic: expected norm none, instance, group, batch or spectral but received ${norm}`);
  return buildNetwork('critic', config, (root) => {
    const at = root.at(prefix);
    const convolution = (place: number, from: number, to: number, stride: number, bias: boolean): Layer<[Image], Image> =>
      (norm === 'spectral' ? spectralConv2d : conv2d)(at.at(place), { from, to, kernel: 4, stride, padding: 1, bias, init: gaussian(0.02), biasInit: zeros });
    const width = (i: number): number => base * Math.min(2 ** i, 8);
    const first = convolution(0, channels + conditionChannels, base, 2, true);
    // A bias before batch norm would be taken out by its mean.
    const blocks = Array.from({ length: layers }, (_, i) => ({
      conv: convolution(2 + 3 * i, width(i), width(i + 1), i + 1 < layers ? 2 : 1, norm !== 'batch'),
      norm: normalisation(at.at(3 + 3 * i), width(i + 1), config),
    }));
    const last = convolution(2 + 3 * layers, width(layers), 1, 1, true);
    return (params, image, condition) => {
      if ((condition !== undefined) !== conditionChannels > 0) throw new TypeError(`patchCritic: expected ${conditionChannels > 0 ? 'a' : 'no'} condition but received ${condition ? 'one' : 'none'}`);
      let x = leakyRelu(first(params, condition ? tf.concat([condition, image], 3) : image));
      for (const block of blocks) x = leakyRelu(block.norm(params, block.conv(params, x)));
      return last(params, x);
    };
  });
};
