/** The levels of the diffusers UNets. All block types are residual blocks with one of a few kinds of attention and of resampling. */
import * as tf from '../../tf.ts';
import type { Layer, Params, Scope } from '../network.ts';
import { conv2d, groupNorm, silu } from '../nn.ts';
import type { ActivationName } from './activation.ts';
import { addedAttention, imageAttention } from './attention.ts';
import { downsample, firDownsample, firUpsample, upsample } from './resample.ts';
import { type ResnetOptions, type TimeShift, resnetBlock } from './resnet.ts';
import { type Attended, transformer2d } from './transformer2d.ts';

type Image = tf.Tensor4D;

export const downTypes = ['DownBlock2D', 'ResnetDownsampleBlock2D', 'AttnDownBlock2D', 'CrossAttnDownBlock2D', 'SimpleCrossAttnDownBlock2D', 'SkipDownBlock2D', 'AttnSkipDownBlock2D'] as const;
export const upTypes = ['UpBlock2D', 'ResnetUpsampleBlock2D', 'AttnUpBlock2D', 'CrossAttnUpBlock2D', 'SimpleCrossAttnUpBlock2D', 'SkipUpBlock2D', 'AttnSkipUpBlock2D'] as const;
export type DownType = (typeof downTypes)[number];
export type UpType = (typeof upTypes)[number];

/** What every block of a step is given beside the image: the time embedding [B, temb], and what attention sees. */
export type Given = Attended & Readonly<{ temb: tf.Tensor2D | undefined }>;

/** What a UNet's configuration says about all its blocks. */
export type UnetStyle = Readonly<{
  temb: number;
  eps: number;
  act: ActivationName;
  groups: number | null;
  timeShift: TimeShift;
  /** Of `Resnet...` and `Simple...` blocks. */
  skipTimeAct: boolean;
  /** Of `Resnet...` and `Simple...` blocks. */
  resnetScale: number;
  downsamplePadding: number;
  /** How `Attn...` blocks resample. */
  downsampleType: 'conv' | 'resnet';
  upsampleType: 'conv' | 'resnet';
  linearProjection: boolean;
  contextNorm: 'layer_norm' | 'group_norm' | null;
  /** In place of `imageAttention`, where an image attends to itself. */
  attendImage?: typeof imageAttention;
}>;

/** What it says about one level. */
export type UnetLevel = Readonly<{
  layers: number;
  /** Channels per head, of `Attn...` and `Simple...` blocks. */
  headDim: number;
  /** Heads of `CrossAttn...` blocks. */
  heads: number;
  /** Transformer blocks after each residual block. */
  depths: readonly number[];
  /** Width of the further tokens; null for networks that take none. */
  context: number | null;
  onlyCross: boolean;
}>;

type Attend = 'none' | 'image' | 'cross' | 'added';

const traits: Readonly<Record<DownType | UpType, Readonly<{ attend: Attend; sampler: 'conv' | 'resnet' | 'typed' | 'skip' }>>> = {
  DownBlock2D: { attend: 'none', sampler: 'conv' }, UpBlock2D: { attend: 'none', sampler: 'conv' },
  ResnetDownsampleBlock2D: { attend: 'none', sampler: 'resnet' }, ResnetUpsampleBlock2D: { attend: 'none', sampler: 'resnet' },
  AttnDownBlock2D: { attend: 'image', sampler: 'typed' }, AttnUpBlock2D: { attend: 'image', sampler: 'typed' },
  CrossAttnDownBlock2D: { attend: 'cross', sampler: 'conv' }, CrossAttnUpBlock2D: { attend: 'cross', sampler: 'conv' },
  SimpleCrossAttnDownBlock2D: { attend: 'added', sampler: 'resnet' }, SimpleCrossAttnUpBlock2D: { attend: 'added', sampler: 'resnet' },
  SkipDownBlock2D: { attend: 'none', sampler: 'skip' }, SkipUpBlock2D: { attend: 'none', sampler: 'skip' },
  AttnSkipDownBlock2D: { attend: 'image', sampler: 'skip' }, AttnSkipUpBlock2D: { attend: 'image', sampler: 'skip' },
};

export const attendsToTokens = (type: DownType | UpType): boolean => ['cross', 'added'].includes(traits[type].attend);
export const carriesSkipImage = (type: DownType | UpType): boolean => traits[type].sampler === 'skip';

type AttentionLayer = Layer<[Image, Given], Image>;

export const tokensOf = ({ tokens }: Given, path: string): tf.Tensor3D => {
  if (!tokens) throw new TypeError(`${path}: expected encoderHiddenStates, the tokens to attend to, but received none; see textFree for use without text`);
  return tokens;
};

const attentionLayer = (scope: Scope, kind: Attend, i: number, channels: number, level: UnetLevel, style: UnetStyle, skip: boolean): AttentionLayer | undefined => {
  if (kind === 'none') return undefined;
  const place = scope.at('attentions').at(i);
  const { headDim, heads, depths, onlyCross } = level;
  if (kind === 'image') {
    const attend = (style.attendImage ?? imageAttention)(place, { channels, headDim, groups: skip ? 32 : style.groups, eps: style.eps, scale: skip ? Math.SQRT2 : 1 });
    return (params, x) => attend(params, x);
  }
  const context = level.context as number;
  const groups = style.groups as number;
  if (kind === 'cross') {
    const attend = transformer2d(place, { channels, heads, depth: depths[i] as number, context, groups, linearProjection: style.linearProjection, onlyCross });
    return (params, x, given) => attend(params, x, { ...given, tokens: tokensOf(given, place.path) });
  }
  const attend = addedAttention(place, { channels, headDim, groups, added: context, onlyAdded: onlyCross, contextNorm: style.contextNorm });
  return (params, x, given) => attend(params, x, tokensOf(given, place.path), addedBias(given, x, onlyCross));
};

/** Scores of `Simple...` blocks run over the tokens first, then the positions: a mask of the tokens leaves the positions as they are. */
export const addedBias = ({ tokenBias }: Given, x: Image, onlyAdded: boolean): tf.Tensor | undefined => {
  if (!tokenBias || onlyAdded) return tokenBias;
  return tf.concat([tokenBias, tf.zeros([x.shape[0], 1, 1, x.shape[1] * x.shape[2]])], 3);
};

type Sizes = Readonly<{ from: number; to: number }>;

/** Residual blocks of a level. `Skip...` blocks choose their own groups and divide by sqrt(2). */
const resnetOptions = (type: DownType | UpType, { from, to }: Sizes, style: UnetStyle, groups?: number): ResnetOptions => {
  const { sampler } = traits[type];
  const common = { from, to, temb: style.temb, eps: style.eps, act: style.act, timeShift: style.timeShift };
  if (sampler === 'skip') return { ...common, groups: groups ?? Math.min(Math.floor(from / 4), 32), groupsOut: Math.min(Math.floor(to / 4), 32), scale: Math.SQRT2 };
  const own = sampler === 'resnet' ? { skipTimeAct: style.skipTimeAct, scale: style.resnetScale } : {};
  return { ...common, groups: style.groups as number, ...own };
};

export type DownBlock = (params: Params, x: Image, given: Given, skipImage: Image, adapter?: Image) => Readonly<{ x: Image; residuals: readonly Image[]; skipImage: Image }>;

/**
 * A level of the way down.
 * @returns a function whose `residuals` are what the way up will be given: every residual block's output, and the halved image
 */
export const downBlock = (scope: Scope, type: DownType, sizes: Sizes, halve: boolean, level: UnetLevel, style: UnetStyle): DownBlock => {
  const { attend, sampler } = traits[type];
  const { to } = sizes;
  const pairs = Array.from({ length: level.layers }, (_, i) => ({
    resnet: resnetBlock(scope.at('resnets').at(i), resnetOptions(type, { from: i === 0 ? sizes.from : to, to }, style)),
    attention: attentionLayer(scope, attend, i, to, level, style, sampler === 'skip'),
  }));
  const smaller = halve ? halving(scope, type, to, style) : undefined;
  const apply = scope.tapped((params, x: Image, given: Given, skipImage: Image, adapter?: Image) => {
    let h = x;
    const residuals: Image[] = [];
    for (const [i, { resnet, attention }] of pairs.entries()) {
      h = resnet(params, h, given.temb);
      if (attention) h = attention(params, h, given);
      if (adapter && attend === 'cross' && i === pairs.length - 1) h = tf.add(h, adapter);
      residuals.push(h);
    }
    if (!smaller) return [h, residuals, skipImage] as const;
    const [halved, skip] = smaller(params, h, given, skipImage);
    return [halved, [...residuals, halved], skip] as const;
  });
  return (params, x, given, skipImage, adapter) => {
    const [h, residuals, skip] = apply(params, x, given, skipImage, adapter);
    return { x: h, residuals, skipImage: skip };
  };
};

type Halving = (params: Params, x: Image, given: Given, skipImage: Image) => readonly [Image, Image];

const halving = (scope: Scope, type: DownType, channels: number, style: UnetStyle): Halving => {
  const { sampler } = traits[type];
  const options = resnetOptions(type, { from: channels, to: channels }, style);
  if (sampler === 'skip') {
    const resnet = resnetBlock(scope.at('resnet_down'), { ...options, convShortcut: true, resample: 'firDown' });
    const skipConv = conv2d(scope.at('skip_conv'), { from: 3, to: channels, kernel: 1 });
    return (params, x, { temb }, skipImage) => {
      const small = firDownsample(skipImage);
      return [tf.add(skipConv(params, small), resnet(params, x, temb)), small];
    };
  }
  const place = scope.at('downsamplers.0');
  if (sampler === 'resnet' || (sampler === 'typed' && style.downsampleType === 'resnet')) {
    const resnet = resnetBlock(place, { ...options, resample: 'down' });
    return (params, x, { temb }, skipImage) => [resnet(params, x, temb), skipImage];
  }
  const conv = downsample(place, { channels, padding: style.downsamplePadding });
  return (params, x, _given, skipImage) => [conv(params, x), skipImage];
};

export type UpBlock = Readonly<{
  /** Residuals it takes, last one first. */
  takes: number;
  apply: (params: Params, x: Image, residuals: readonly Image[], given: Given, skipImage: Image | undefined, size: readonly [number, number] | undefined) =>
  Readonly<{ x: Image; skipImage: Image | undefined }>;
}>;

/**
 * A level of the way up; it takes one residual for each of its blocks.
 * @param sizes.from channels of the last residual it takes, those of the level above
 * @param previous channels of the image that comes in
 */
export const upBlock = (scope: Scope, type: UpType, sizes: Sizes, previous: number, double: boolean, level: UnetLevel, style: UnetStyle): UpBlock => {
  const { attend, sampler } = traits[type];
  const { to } = sizes;
  const skip = sampler === 'skip';
  const resnets = Array.from({ length: level.layers }, (_, i) => {
    const [image, residual] = [i === 0 ? previous : to, i === level.layers - 1 ? sizes.from : to];
    // The reference's AttnSkipUpBlock2D adds before it divides; its weights were made that way.
    const groups = type === 'AttnSkipUpBlock2D' ? Math.min(image + Math.floor(residual / 4), 32) : undefined;
    return resnetBlock(scope.at('resnets').at(i), resnetOptions(type, { from: image + residual, to }, style, groups));
  });
  const attentions = resnets.map((_, i) => (skip && i > 0 ? undefined : attentionLayer(scope, attend, i, to, level, style, skip)));
  const larger = double ? doubling(scope, type, to, style) : undefined;
  const apply = scope.tapped((params, x: Image, residuals: readonly Image[], given: Given, skipImage: Image | undefined, size: readonly [number, number] | undefined) => {
    let h = x;
    for (const [i, resnet] of resnets.entries()) {
      h = resnet(params, tf.concat([h, residuals[residuals.length - 1 - i] as Image], 3), given.temb);
      if (!skip) h = attentions[i]?.(params, h, given) ?? h;
    }
    if (!skip) return larger ? larger(params, h, given, undefined, size)[0] : h;
    h = attentions[0]?.(params, h, given) ?? h;
    const enlarged = skipImage && firUpsample(skipImage);
    return larger ? larger(params, h, given, enlarged, size) : [h, enlarged] as const;
  });
  return {
    takes: level.layers,
    apply: (params, x, residuals, given, skipImage, size) => {
      const out = apply(params, x, residuals, given, skipImage, size);
      return out instanceof tf.Tensor ? { x: out, skipImage } : { x: out[0], skipImage: out[1] };
    },
  };
};

type Doubling = (params: Params, x: Image, given: Given, skipImage: Image | undefined, size: readonly [number, number] | undefined) => readonly [Image, Image | undefined];

const doubling = (scope: Scope, type: UpType, channels: number, style: UnetStyle): Doubling => {
  const { sampler } = traits[type];
  const options = resnetOptions(type, { from: channels, to: channels }, style);
  if (sampler === 'skip') {
    const resnet = resnetBlock(scope.at('resnet_up'), { ...options, convShortcut: true, resample: 'firUp' });
    const skipConv = conv2d(scope.at('skip_conv'), { from: channels, to: 3, padding: 1 });
    const norm = groupNorm(scope.at('skip_norm'), { groups: Math.min(Math.floor(channels / 4), 32), channels, eps: style.eps });
    return (params, x, { temb }, skipImage) => {
      const image = skipConv(params, silu(norm(params, x)) as Image);
      return [resnet(params, x, temb), skipImage ? tf.add(skipImage, image) : image];
    };
  }
  const place = scope.at('upsamplers.0');
  if (sampler === 'resnet' || (sampler === 'typed' && style.upsampleType === 'resnet')) {
    const resnet = resnetBlock(place, { ...options, resample: 'up' });
    return (params, x, { temb }) => [resnet(params, x, temb), undefined];
  }
  const conv = upsample(place, { channels });
  return (params, x, _given, _skipImage, size) => [conv(params, x, size), undefined];
};
