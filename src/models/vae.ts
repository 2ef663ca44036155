/** An AutoencoderKL as it is trained: from images and noise to a posterior, a draw of it, and what the decoder makes of that and of changes of it. */
import * as tf from '../tf.ts';
import { type AutoencoderKl, autoencoderKl, posteriorOf } from './autoencoderKl.ts';
import { uniformWithin, zeros } from './init.ts';
import { type Network, type Params, param } from './network.ts';

type Image = tf.Tensor4D;

/** Unit normal noise of a shape; other names give other noise. */
export type Noise = (name: string, shape: readonly number[]) => tf.Tensor;

/** What a view is made from. */
export type Coder = Readonly<{
  image: Image;
  /** A draw of the image's posterior. */
  latent: Image;
  /** A draw of another image's posterior. */
  code: (image: Image) => Image;
  decode: (latent: Image) => Image;
}>;

/** An image and what the decoder made of its latent, or both of them changed in the same way. */
export type View = Readonly<{ image: Image; output: Image }>;
export type Views = (coder: Coder) => readonly View[];

/** The image and its reconstruction. */
export const plainView: Views = ({ image, latent, decode }) => [{ image, output: decode(latent) }];

/** mean, logvar (clamped to [-30, 20]) and latent float32 [B, H / f, W / f, C]; `output` is that of the first view, `lastLayer` the decoder's last weight; the codebook is there where there is one. */
export type Coded = Readonly<{ mean: Image; logvar: Image; latent: Image; output: Image; views: readonly View[]; lastLayer: tf.Tensor; codebook?: tf.Tensor2D }>;

export type VaeConfig = Readonly<{
  /** As in diffusers' `config.json`. */
  model: Readonly<Record<string, unknown>>;
  /** Deviation of the posterior in place of the encoder's: 0 is a plain autoencoder. */
  std?: number;
  /** Latents are clamped to plus or minus this. */
  bound?: number;
  /** Where the log variance begins in a fresh network; noise of deviation 1 would drown what is to be learned. */
  logvar?: number;
  /** Entries of a codebook that regularises latents, and how many parts each latent vector is cut into; no codebook with 0. */
  codebook?: Readonly<{ size: number; parts: number }>;
}>;

/** Name of the codebook among the parameters: float32 [size, C / parts]. */
export const codebookName = 'codebook.weight';

export type Vae = Network<[image: Image, noise?: Noise, views?: Views], Coded> & Readonly<{ autoencoder: AutoencoderKl }>;

/**
 * Builds the network, called `vae`; its parameters are the autoencoder's, and the codebook where there is one. Without noise the latent is the posterior's mean.
 * @param config.model fields of `AutoencoderKL`
 * @throws ConfigError for a field that does not fit, RangeError when the codebook's parts do not divide the channels
 */
export const vae = (config: VaeConfig): Vae => {
  const { model, std, bound, logvar = -6, codebook = { size: 0, parts: 1 } } = config;
  const autoencoder = autoencoderKl(model);
  const { channels } = autoencoder;
  const specs = new Map(autoencoder.specs);
  // The second half of what the encoder's last layer says is the log variance.
  const last = autoencoder.config.use_quant_conv ? 'quant_conv.bias' : 'encoder.conv_out.bias';
  const spec = specs.get(last) as NonNullable<ReturnType<typeof specs.get>>;
  specs.set(last, { ...spec, init: (key, shape) => spec.init(key, shape).map((value, i) => (i < channels ? value : logvar)) });
  // Residual blocks begin as the identity: a fresh network learns from its few other layers first, and sooner.
  for (const [name, block] of specs) if (/\.conv2\.(weight|bias)$/.test(name)) specs.set(name, { ...block, init: zeros });
  if (codebook.size > 0) {
    if (channels % codebook.parts !== 0) throw new RangeError(`vae: expected codebook.parts to divide ${channels} channels but received ${codebook.parts}`);
    specs.set(codebookName, { shape: [codebook.size, channels / codebook.parts], init: uniformWithin(1 / codebook.size), buffer: false, adaptable: false });
  }
  const code = (params: Params, image: Image, name: string, noise: Noise | undefined): Pick<Coded, 'mean' | 'logvar' | 'latent'> => {
    const { mean, logvar, std: learned } = posteriorOf(autoencoder.moments(params, image));
    const bounded = bound === undefined ? mean : tf.clipByValue(mean, -bound, bound) as Image;
    const latent = noise === undefined || std === 0 ? bounded : tf.add<Image>(bounded, tf.mul(noise(name, mean.shape), std ?? learned));
    return { mean, logvar, latent };
  };
  return {
    name: 'vae', config, specs, autoencoder,
    apply: (params, image, noise, views = plainView) => {
      const coded = code(params, image, 'latent', noise);
      const made = views({ image, latent: coded.latent, code: (other) => code(params, other, 'other', noise).latent, decode: (latent) => autoencoder.decode(params, latent) });
      return { ...coded, output: (made[0] as View).output, views: made, lastLayer: param(params, 'decoder.conv_out.weight'), ...(codebook.size > 0 && { codebook: param<tf.Tensor2D>(params, codebookName) }) };
    },
  };
};

/** Fields of `AutoencoderKL` for a small network: a width at full resolution and its multiplier per level, no attention unless asked for. */
export const smallAutoencoder = ({ base, multipliers, depth, channels, groups, attention }: Readonly<{
  base: number; multipliers: readonly number[]; depth: number; channels: number; groups: number; attention: boolean;
}>): Readonly<Record<string, unknown>> => ({
  block_out_channels: multipliers.map((multiplier) => base * multiplier), layers_per_block: depth, latent_channels: channels, norm_num_groups: groups, mid_block_add_attention: attention,
  down_block_types: multipliers.map(() => 'DownEncoderBlock2D'), up_block_types: multipliers.map(() => 'UpDecoderBlock2D'),
});
