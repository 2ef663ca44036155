/**
 * pix2pix-turbo on released weights: a one-step text-to-image UNet between the two halves of its autoencoder, adapted by low-rank matrices, with skips from
 * encoder to decoder that start near zero.
 * @source Parmar et al. 2024, arXiv 2403.12036, fig. 2 and sec. 3
 */
import * as tf from '../tf.ts';
import { alphasCumprod, scaledLinearBetas } from '../schedules/betas.ts';
import { scaleLatent, unscaleLatent } from './autoencoder.ts';
import { type AutoencoderKl, autoencoderKl, posteriorOf, samplePosterior } from './autoencoderKl.ts';
import { joinedSpecs, paramsBelow } from './compose.ts';
import { constant } from './init.ts';
import { isLora, loraModules, scaleLora, withLora } from './lora.ts';
import type { StateDict } from './net.ts';
import { type Network, type ParamSpec, type Params, buildNetwork, param } from './network.ts';
import { convolve } from './nn.ts';
import { textFree } from './textFree.ts';
import { unet2dCondition } from './unet2dCondition.ts';

type Image = tf.Tensor4D;

export type PretrainedTurboConfig = Readonly<{
  /** Configurations of the UNet and the autoencoder, as in their `config.json`. */
  unet: Readonly<Record<string, unknown>>;
  vae: Readonly<Record<string, unknown>>;
  /** Ranks of the adapters; the published ones for pairs are 8 and 4. */
  rank?: Readonly<{ unet: number; vae: number }>;
  /** What every weight of the skip convolutions starts from. */
  skipInit?: number;
  /** The time the UNet is asked about. */
  timestep?: number;
  /** What the UNet predicts. */
  prediction?: 'epsilon' | 'v_prediction';
  /** abar[t] of the noise the UNet was trained with; Stable Diffusion's by default. */
  alphasCumprod?: Float32Array;
  /** How the autoencoder is shown the source: in [0, 1], as the published models for pairs were trained, or in [-1, 1]. */
  sourceRange?: 'unit' | 'signed';
  /** Tokens the UNet attends to in place of a text, fixed unless `learned`: cached embeddings of a caption go under `unet.conditioning.*`. */
  tokens?: number;
  learned?: boolean;
}>;

/** Layers that are adapted: every projection of attention and every convolution. */
const unetTargets = /(^|\.)(to_[kqv]|to_out\.0|conv|conv[12]|conv_shortcut|conv_out|proj_in|proj_out|ff\.net\.2|ff\.net\.0\.proj)$/;
const vaeTargets = /(^|\.)(conv[12]?|conv_in|conv_shortcut|conv_out|to_[kqv]|to_out\.0)$/;

/** Which parameters train: adapters, skips, the UNet's first convolution, and learned tokens. */
export const trainsInTurbo = (name: string): boolean => isLora(name) || /^(vae\.decoder\.skip_conv_\d+\.weight|unet\.conv_in\.(weight|bias)|unet\.conditioning\..*)$/.test(name);

/** Widths of what goes into each level of encoder and decoder, both from the lowest resolution. */
const skipWidths = (widths: readonly number[]): readonly Readonly<{ from: number; to: number }>[] => {
  const last = widths.length - 1;
  return widths.map((_, i) => ({ from: widths[Math.max(0, last - i - 1)] as number, to: widths[Math.min(last, last - i + 1)] as number }));
};

const skipName = (i: number): string => `vae.decoder.skip_conv_${i + 1}.weight`;

export type PretrainedTurbo = Network<[source: Image, r: tf.Tensor4D, noise: Image, eps?: Image, text?: tf.Tensor3D], Image> & Readonly<{ vae: AutoencoderKl }>;

/**
 * Builds the generator: `(source, r, noise, eps, text) -> output`.
 *   source  float32 [B, H, W, 3] in [-1, 1]
 *   r       float32 [B, 1, 1, 1] in [0, 1]: the share of the source. It mixes the latents, z' = r z + (1 - r) noise, and scales adapters (by its mean over the batch),
 *           skips and what training changed in the first convolution; at 0 the source is forgotten and the network is the released one
 *   noise   float32 [B, H / f, W / f, C], unit normal; without effect at r = 1
 *   eps     the same, samples the posterior; its mean is taken where it is left out
 *   text    float32 [B, tokens, width], what the UNet is told of each image; its own tokens where it is left out
 *   output  float32 [B, H, W, 3], clamped to [-1, 1]
 * @throws ConfigError for a configuration that does not fit
 */
export const pretrainedTurbo = (config: PretrainedTurboConfig): PretrainedTurbo => {
  const { rank = { unet: 8, vae: 4 }, skipInit = 1e-5, timestep = 999, prediction = 'epsilon', alphasCumprod: noise = alphasCumprod(scaledLinearBetas(1000)), sourceRange = 'signed', tokens = 77, learned = false } = config;
  const base = unet2dCondition(config.unet);
  const vae = autoencoderKl(config.vae);
  const bare = textFree(base, { tokens, mode: learned ? 'learned' : 'fixed' });
  const modules = { unet: loraModules(base, { targets: [unetTargets], rank: rank.unet }), vae: loraModules(vae, { targets: [vaeTargets], rank: rank.vae }) };
  const unet = withLora(bare, modules.unet);
  const skips = skipWidths(vae.config.block_out_channels);
  const abar = noise[timestep];
  if (abar === undefined) throw new RangeError(`pretrainedTurbo: expected timestep to be an integer from 0 to ${noise.length - 1} but received ${timestep}`);
  const [signal, deviation] = [Math.sqrt(abar), Math.sqrt(1 - abar)];
  const specs = new Map<string, ParamSpec>(joinedSpecs({ unet, vae: withLora(vae, modules.vae) }));
  for (const [i, { from, to }] of skips.entries()) specs.set(skipName(i), { shape: [to, from, 1, 1], init: constant(skipInit), buffer: false, adaptable: false });
  for (const part of ['weight', 'bias']) specs.set(`unet.conv_in_pretrained.${part}`, { ...(specs.get(`unet.conv_in.${part}`) as ParamSpec), buffer: true, adaptable: false });

  /** The UNet's parameters with its first convolution between the released and the trained one. */
  const unetParams = (params: Params, share: tf.Scalar): Params => {
    const own = paramsBelow(params, 'unet');
    const blended = (part: string): tf.Tensor => tf.add(tf.mul(param(own, `conv_in_pretrained.${part}`), tf.sub(1, share)), tf.mul(param(own, `conv_in.${part}`), share));
    return scaleLora({ ...own, 'conv_in.weight': blended('weight'), 'conv_in.bias': blended('bias') }, modules.unet, share);
  };
  /** The clean latent, from the UNet's prediction at `timestep`. */
  const cleaned = (z: Image, out: Image): Image => (prediction === 'epsilon' ? tf.div(tf.sub(z, tf.mul(out, deviation)), signal) : tf.sub(tf.mul(z, signal), tf.mul(out, deviation)));

  const network = buildNetwork<[Image, tf.Tensor4D, Image, Image?, tf.Tensor3D?], Image>('generator', config, () => (params, source, r, noise, eps, text) => {
    const share = tf.mean(r) as tf.Scalar;
    const coder = scaleLora(paramsBelow(params, 'vae'), modules.vae, share);
    const { moments, features } = vae.momentsWithFeatures(coder, sourceRange === 'unit' ? tf.mul(tf.add(source, 1), 0.5) : source);
    const posterior = posteriorOf(moments);
    const z = scaleLatent(vae.latentScale, eps ? samplePosterior(posterior, eps) : posterior.mean);
    const mixed = tf.add<Image>(tf.mul(z, r), tf.mul(noise, tf.sub(1, r)));
    const out = unet.apply(unetParams(params, share), mixed, tf.fill([source.shape[0]], timestep), text && { encoderHiddenStates: text });
    const latent = unscaleLatent(vae.latentScale, cleaned(mixed, out));
    const added = features.toReversed().map((feature, i) => tf.mul<Image>(convolve(feature, param(params, skipName(i))), r));
    return tf.clipByValue(vae.decodeWithSkips(coder, latent, added), -1, 1);
  });
  return { ...network, specs, vae };
};

/** What the generator starts from: released weights of both networks, and the first convolution's once more. */
export const turboStart = (unet: StateDict, vae: StateDict): StateDict => Object.fromEntries([
  ...Object.entries(unet).map(([name, value]) => [`unet.${name}`, value] as const), ...Object.entries(vae).map(([name, value]) => [`vae.${name}`, value] as const),
  ...['weight', 'bias'].flatMap((part) => (unet[`conv_in.${part}`] ? [[`unet.conv_in_pretrained.${part}`, unet[`conv_in.${part}`] as StateDict[string]] as const] : [])),
]);
