/** Encoder and decoder of the KL autoencoder. */
import * as tf from '../../tf.ts';
import type { Layer, Scope } from '../network.ts';
import { conv2d, groupNorm, silu } from '../nn.ts';
import type { ActivationName } from './activation.ts';
import { imageAttention } from './attention.ts';
import { downsample, upsample } from './resample.ts';
import { type ResnetOptions, resnetBlock } from './resnet.ts';

type Image = tf.Tensor4D;

export type KlCoderOptions = Readonly<{
  /** Channels at the full-resolution end: the encoder's input or the decoder's output. */
  imageChannels: number;
  /** Channels at the low-resolution end, moments included. */
  latentChannels: number;
  widths: readonly number[];
  /** Per level, in the order the data takes: whether its residual blocks are each followed by attention. */
  attentive: readonly boolean[];
  layers: number;
  groups: number;
  act: ActivationName;
  midAttention: boolean;
}>;

const eps = 1e-6;

/** Residual blocks, each followed by attention where asked for. */
const stage = (scope: Scope, { from, to, layers, attentive, groups, act }: { from: number; to: number; layers: number; attentive: boolean } & Pick<ResnetOptions, 'groups' | 'act'>): Layer<[Image], Image> => {
  const pairs = Array.from({ length: layers }, (_, i) => ({
    resnet: resnetBlock(scope.at('resnets').at(i), { from: i === 0 ? from : to, to, groups, eps, act }),
    attend: attentive ? imageAttention(scope.at('attentions').at(i), { channels: to, headDim: to, groups, eps }) : undefined,
  }));
  return (params, x) => pairs.reduce((h, { resnet, attend }) => {
    const y = resnet(params, h, undefined);
    return attend ? attend(params, y) : y;
  }, x);
};

const middle = (scope: Scope, channels: number, { groups, act, midAttention }: KlCoderOptions): Layer<[Image], Image> => {
  const resnet = (i: number): ReturnType<typeof resnetBlock> => resnetBlock(scope.at('resnets').at(i), { from: channels, to: channels, groups, eps, act });
  const [first, second] = [resnet(0), resnet(1)];
  const attend = midAttention ? imageAttention(scope.at('attentions.0'), { channels, headDim: channels, groups, eps }) : undefined;
  return scope.tapped((params, x) => {
    const h = first(params, x, undefined);
    return second(params, attend ? attend(params, h) : h, undefined);
  });
};

/** Norm, SiLU, 3x3 convolution: how both ends close. The activation is SiLU whatever the configuration says, as in the reference. */
const ending = (scope: Scope, from: number, to: number, groups: number): Layer<[Image], Image> => {
  const norm = groupNorm(scope.at('conv_norm_out'), { groups, channels: from, eps });
  const conv = conv2d(scope.at('conv_out'), { from, to, padding: 1 });
  return (params, x) => conv(params, silu(norm(params, x)) as Image);
};

export type KlEncoder = Readonly<{
  /** [B, H, W, imageChannels] to [B, H / f, W / f, latentChannels]. */
  apply: Layer<[Image], Image>;
  /** The same, and what went into each level, from full resolution: channels as the level before makes them. */
  withFeatures: Layer<[Image], Readonly<{ latent: Image; features: readonly Image[] }>>;
}>;

/** Each halving pads right and below only. @source diffusers `Encoder` */
export const klEncoder = (scope: Scope, options: KlCoderOptions): KlEncoder => {
  const { imageChannels, latentChannels, widths, attentive, layers, groups, act } = options;
  const convIn = conv2d(scope.at('conv_in'), { from: imageChannels, to: widths[0] as number, padding: 1 });
  const levels = widths.map((to, i) => {
    const place = scope.at('down_blocks').at(i);
    const blocks = stage(place, { from: widths[Math.max(0, i - 1)] as number, to, layers, attentive: attentive[i] as boolean, groups, act });
    const halve = i < widths.length - 1 ? downsample(place.at('downsamplers.0'), { channels: to, padding: 0 }) : undefined;
    return place.tapped((params, x: Image) => {
      const y = blocks(params, x);
      return halve ? halve(params, y) : y;
    });
  });
  const low = widths.at(-1) as number;
  const mid = middle(scope.at('mid_block'), low, options);
  const end = ending(scope, low, latentChannels, groups);
  const withFeatures: KlEncoder['withFeatures'] = (params, x) => {
    const features: Image[] = [];
    const deepest = levels.reduce((h, level) => {
      features.push(h);
      return level(params, h);
    }, convIn(params, x));
    return { latent: end(params, mid(params, deepest)), features };
  };
  return { apply: scope.tapped((params, x) => withFeatures(params, x).latent), withFeatures };
};

/** Added to what goes into each level of the way up; from the lowest resolution. */
export type Skips = readonly Image[];

/** [B, h, w, latentChannels] to [B, h * f, w * f, imageChannels]. @source diffusers `Decoder` */
export const klDecoder = (scope: Scope, options: KlCoderOptions): Layer<[latent: Image, skips?: Skips | undefined], Image> => {
  const { imageChannels, latentChannels, widths, attentive, layers, groups, act } = options;
  const reversed = widths.toReversed();
  const convIn = conv2d(scope.at('conv_in'), { from: latentChannels, to: reversed[0] as number, padding: 1 });
  const mid = middle(scope.at('mid_block'), reversed[0] as number, options);
  const levels = reversed.map((to, i) => {
    const place = scope.at('up_blocks').at(i);
    const blocks = stage(place, { from: reversed[Math.max(0, i - 1)] as number, to, layers: layers + 1, attentive: attentive[i] as boolean, groups, act });
    const double = i < widths.length - 1 ? upsample(place.at('upsamplers.0'), { channels: to }) : undefined;
    return place.tapped((params, x: Image) => {
      const y = blocks(params, x);
      return double ? double(params, y) : y;
    });
  });
  const end = ending(scope, reversed.at(-1) as number, imageChannels, groups);
  return scope.tapped((params, z, skips) => end(params, levels.reduce((h, level, i) => level(params, skips?.[i] ? tf.add(h, skips[i]) : h), mid(params, convIn(params, z)))));
};
