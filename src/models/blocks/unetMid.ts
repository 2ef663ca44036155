/** The middle of the diffusers UNets. */
import type * as tf from '../../tf.ts';
import type { Layer, Scope } from '../network.ts';
import { addedAttention, imageAttention } from './attention.ts';
import { resnetBlock } from './resnet.ts';
import { transformer2d } from './transformer2d.ts';
import { type Given, type UnetLevel, type UnetStyle, addedBias, tokensOf } from './unetBlocks.ts';

type Image = tf.Tensor4D;

export type MidOptions = Readonly<{
  /** `plain`: one residual block; `image`: self-attention between two; `cross`, `added`: attention to further tokens between two. */
  attend: 'plain' | 'none' | 'image' | 'cross' | 'added';
  channels: number;
  scale: number;
  /** Groups of the norm before self-attention; null leaves it out. */
  attentionGroups: number | null;
  /** Whether attention to further tokens leaves the image's own positions out. */
  onlyCross?: boolean;
}>;

/** Residual block, attention, residual block. @source diffusers `UNetMidBlock2D`, `UNetMidBlock2DCrossAttn`, `UNetMidBlock2DSimpleCrossAttn` */
export const midBlock = (scope: Scope, { attend, channels, scale, attentionGroups, onlyCross = false }: MidOptions, level: UnetLevel, style: UnetStyle): Layer<[image: Image, given: Given], Image> => {
  const groups = style.groups ?? Math.min(Math.floor(channels / 4), 32);
  const resnets = (attend === 'plain' ? [0] : [0, 1]).map((i) => resnetBlock(scope.at('resnets').at(i), {
    from: channels, to: channels, temb: style.temb, groups, eps: style.eps, act: style.act, timeShift: style.timeShift, scale, skipTimeAct: attend === 'added' && style.skipTimeAct,
  }));
  const attention = ((): Layer<[Image, Given], Image> | undefined => {
    const place = scope.at('attentions.0');
    if (attend === 'image') {
      const layer = (style.attendImage ?? imageAttention)(place, { channels, headDim: level.headDim, groups: attentionGroups, eps: style.eps, scale });
      return (params, x) => layer(params, x);
    }
    if (attend === 'cross') {
      const [depth, context] = [level.depths[0] as number, level.context as number];
      const layer = transformer2d(place, { channels, heads: level.heads, depth, context, groups, linearProjection: style.linearProjection, onlyCross: false });
      return (params, x, given) => layer(params, x, { ...given, tokens: tokensOf(given, place.path) });
    }
    if (attend !== 'added') return undefined;
    const layer = addedAttention(place, { channels, headDim: level.headDim, groups, added: level.context as number, onlyAdded: onlyCross, contextNorm: style.contextNorm });
    return (params, x, given) => layer(params, x, tokensOf(given, place.path), addedBias(given, x, onlyCross));
  })();
  const [first, second] = resnets;
  return scope.tapped((params, x, given) => {
    const h = (first as ReturnType<typeof resnetBlock>)(params, x, given.temb);
    const seen = attention ? attention(params, h, given) : h;
    return second ? second(params, seen, given.temb) : seen;
  });
};
