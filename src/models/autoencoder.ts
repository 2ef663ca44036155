/** What all autoencoders have in common: a way into latents and a way back, as one network whose parts can be run alone. */
import * as tf from '../tf.ts';
import type { Codec } from './codec.ts';
import { type Net, paramsOf } from './net.ts';
import { type Layer, type Network, type Scope, buildNetwork } from './network.ts';

type Image = tf.Tensor4D;

/** How latents are brought to about unit variance: (z - shift) * scale, channel by channel where lists are given. */
export type LatentScale = Readonly<{ scale: number | readonly number[]; shift: number | readonly number[] }>;

/** Images float32 [B, H, W, C] in [-1, 1]; latents [B, H / factor, W / factor, channels] as the network makes them, before scaling. */
export type Autoencoder<Config = unknown> = Network<[image: Image], Image> & Readonly<{
  config: Config;
  encode: Layer<[image: Image], Image>;
  decode: Layer<[latent: Image], Image>;
  /** Pixels per latent cell along one side. */
  factor: number;
  /** Channels of the latent. */
  channels: number;
  latentScale: LatentScale;
}>;

/** The ways through an autoencoder; running it as a whole is `decode(encode(image))`. */
export type AutoencoderParts = Pick<Autoencoder, 'encode' | 'decode'>;

/** Builds an autoencoder from a function that registers its parameters and returns its parts. Nothing is allocated. */
export const buildAutoencoder = <Config, Parts extends AutoencoderParts>(
  name: string, config: Config, about: Pick<Autoencoder, 'factor' | 'channels' | 'latentScale'>, build: (root: Scope) => Parts,
): Autoencoder<Config> & Parts => {
  const built: { parts?: Parts } = {};
  const network = buildNetwork<[Image], Image>(name, config, (root) => {
    const parts = build(root);
    built.parts = parts;
    return (params, image) => parts.decode(params, parts.encode(params, image));
  });
  return { ...network, ...(built.parts as Parts), ...about, config };
};

/**
 * One way through an autoencoder as a network of its own, called `encoder` or `decoder`; its parameters have their names in the whole without that prefix.
 * @throws TypeError when the autoencoder has no parameters below the prefix, or others that both ways need
 */
export const halfOf = (autoencoder: Autoencoder, half: 'encoder' | 'decoder'): Network<[Image], Image> => {
  const below = [...autoencoder.specs].filter(([name]) => name.startsWith(`${half}.`)).map(([name, spec]) => [name.slice(half.length + 1), spec] as const);
  const shared = [...autoencoder.specs.keys()].find((name) => !/^(encoder|decoder)\./.test(name));
  if (shared !== undefined || below.length === 0) throw new TypeError(`halfOf: expected ${autoencoder.name} to have parameters of its ${half} but received ${shared ?? 'none'}`);
  const run = half === 'encoder' ? autoencoder.encode : autoencoder.decode;
  return {
    name: half, config: autoencoder.config, specs: new Map(below),
    apply: (params, x) => run(Object.fromEntries(Object.entries(params).map(([name, value]) => [`${half}.${name}`, value])), x),
  };
};

const vector = (value: number | readonly number[]): tf.Tensor | number => (typeof value === 'number' ? value : tf.tensor1d([...value]));

/** Latents as the autoencoder makes them to about unit variance. Call inside a tidy. */
export const scaleLatent = ({ scale, shift }: LatentScale, z: Image): Image => tf.mul(shift === 0 ? z : tf.sub(z, vector(shift)), vector(scale)) as Image;

/** The way back from `scaleLatent`. Call inside a tidy. */
export const unscaleLatent = ({ scale, shift }: LatentScale, z: Image): Image => {
  const spread = tf.div(z, vector(scale)) as Image;
  return shift === 0 ? spread : tf.add(spread, vector(shift)) as Image;
};

/**
 * A frozen, live autoencoder as a codec: encodes to scaled latents and back, with the weights it has at the time.
 * @param net made from `autoencoder`; owned by the caller
 */
export const codecOf = (net: Net<[Image], Image>, autoencoder: Autoencoder): Codec => ({
  encode: (image) => scaleLatent(autoencoder.latentScale, autoencoder.encode(paramsOf(net), image)),
  decode: (latent) => autoencoder.decode(paramsOf(net), unscaleLatent(autoencoder.latentScale, latent)),
  factor: autoencoder.factor,
  channels: autoencoder.channels,
});
