/** The networks of the straight-line experiment: an autoencoder that knows how far apart its pairs lie, and a velocity between their latents. */
import * as tf from '../tf.ts';
import { followShift } from '../losses/diffusion/straightLine.ts';
import type { Autoencoder } from './autoencoder.ts';
import { autoencoderTiny } from './autoencoderTiny.ts';
import type { Codec } from './codec.ts';
import { gaussian, zeros } from './init.ts';
import { type Net, applyNet, paramsOf } from './net.ts';
import { type Network, type Params, buildNetwork, param, running } from './network.ts';
import { conv2d, silu } from './nn.ts';

type Image = tf.Tensor4D;

/** What latents are asked for: one vector between all pairs, one direction, a straight flow, or one line for everything. */
export type LineKind = 'shift' | 'direction' | 'flow' | 'oneLine';

/** Latents of a batch as rows: float32 [B, D]. */
export const rowsOf = (z: Image): tf.Tensor2D => tf.reshape(z, [z.shape[0], -1]);

export type LineAutoencoder = Autoencoder & Readonly<{
  /** The average displacement from a source's latent to its target's, as a latent of one image: [1, h, w, C]. */
  shift: (params: Params) => Image;
  /** The direction that displacements are asked to have: [D]. */
  direction: (params: Params) => tf.Tensor1D;
  /** Adds the average displacement, repeated over latents that are larger than those it was trained on. */
  shifted: (params: Params, source: Image) => Image;
  /** Moves the average towards this batch's, where the network is being trained. */
  follow: (params: Params, source: Image, target: Image) => void;
}>;

/**
 * Builds the autoencoder: plain convolutions as in TAESD, `latent` channels at 1 / 2^strides of the side. Run as a network it is the idea to be tested:
 * `source -> decode(encode(source) + shift)`.
 * @param options.channels of the images (or of the latents it works on) @param options.size their side
 * @throws RangeError when `size` is not a multiple of 2^strides
 */
export const lineAutoencoder = (name: string, { channels, size, base, strides, latent }: Readonly<{ channels: number; size: number; base: number; strides: number; latent: number }>): LineAutoencoder => {
  const cells = size / 2 ** strides;
  if (!Number.isInteger(cells)) throw new RangeError(`lineAutoencoder: expected a size that is a multiple of ${2 ** strides} but received ${size}`);
  const levels = <T>(value: T): T[] => Array.from({ length: strides + 1 }, () => value);
  const tiny = autoencoderTiny({
    in_channels: channels, out_channels: channels, latent_channels: latent, encoder_block_out_channels: levels(base), decoder_block_out_channels: levels(base),
    num_encoder_blocks: levels(1), num_decoder_blocks: levels(1),
  });
  const own = { shift: 'line.shift', direction: 'line.direction' };
  const shape = [cells, cells, latent];
  const shift = (params: Params): Image => tf.expandDims(param<tf.Tensor3D>(params, own.shift), 0);
  const shifted = (params: Params, source: Image): Image => {
    const [, h, w] = source.shape;
    if (h === cells && w === cells) return tf.add(source, shift(params));
    const many = tf.tile(shift(params), [1, Math.ceil(h / cells), Math.ceil(w / cells), 1]);
    return tf.add(source, tf.slice(many, [0, 0, 0, 0], [1, h, w, latent]));
  };
  return {
    ...tiny, name, shift, shifted,
    specs: new Map([...tiny.specs,
      [own.shift, { shape, init: zeros, buffer: true, adaptable: false }],
      [own.direction, { shape: [cells * cells * latent], init: gaussian(1), buffer: false, adaptable: false }]]),
    apply: (params, source) => tiny.decode(params, shifted(params, tiny.encode(params, source))),
    direction: (params) => param<tf.Tensor1D>(params, own.direction),
    follow: (params, source, target) => {
      const average = tf.reshape(param(params, own.shift), [-1]) as tf.Tensor1D;
      params[running]?.write(own.shift, tf.reshape(followShift(average, rowsOf(source), rowsOf(target)), shape));
    },
  };
};

/** A velocity between latents, from source to target: `(z, t) -> dz/d(1 - t)`, three convolutions. @param options.channels of the latents; t float32 [B], 1 at the source */
export const latentVelocity = (name: string, { channels, width }: Readonly<{ channels: number; width: number }>): Network<[z: Image, t: tf.Tensor1D], Image> =>
  buildNetwork<[Image, tf.Tensor1D], Image>(name, { channels, width }, (root) => {
    const first = conv2d(root.at('conv_in'), { from: channels + 1, to: width, padding: 1 });
    const middle = conv2d(root.at('conv'), { from: width, to: width, padding: 1 });
    const last = conv2d(root.at('conv_out'), { from: width, to: channels, padding: 1 });
    return (params, z, t) => {
      const [b, h, w] = z.shape;
      const time = tf.mul<Image>(tf.reshape(t, [b, 1, 1, 1]), tf.ones([b, h, w, 1]));
      return last(params, silu(middle(params, silu(first(params, tf.concat([z, time], 3))))));
    };
  });

/** The idea as a translator of images, with averaged weights: by the shift, or by one step of the velocity where straight flows were asked for. Call what it returns inside a tidy. */
export const lineTranslator = (codec: Codec, autoencoder: LineAutoencoder, { line, lineFlow }: Readonly<{ line: Net<[Image], Image>; lineFlow: Net<[Image, tf.Tensor1D], Image> }>, kind: LineKind) => (source: Image): Image => {
  if (kind !== 'flow') return codec.decode(applyNet(line, 'shadow')(codec.encode(source)));
  const params = paramsOf(line, 'shadow');
  const a = autoencoder.encode(params, codec.encode(source));
  return codec.decode(autoencoder.decode(params, tf.add(a, applyNet(lineFlow, 'shadow')(a, tf.ones([a.shape[0]])))));
};
