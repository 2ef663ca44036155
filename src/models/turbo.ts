/**
 * The tiny one-step generator in the manner of pix2pix-turbo: an encoder, a one-step translator at low resolution, a decoder, and encoder-to-decoder
 * skips through convolutions that start near zero. All of it is trained from scratch; the real-weight scale has the same four parts.
 * @source Parmar et al. 2024, arXiv 2403.12036, fig. 2
 */
import * as tf from '../tf.ts';
import { constant, gaussian, zeros } from './init.ts';
import { type Layer, type Network, type Scope, buildNetwork } from './network.ts';
import { attend, conv2d, groupNorm, linear, silu, upsampleNearest2x } from './nn.ts';

type Image = tf.Tensor4D;

export type TurboConfig = Readonly<{
  /** Channels of source and output. */
  channels: number;
  /** Width at full resolution. */
  base: number;
  /** Width multiplier per resolution, from full to lowest; each step halves height and width. */
  multipliers: readonly number[];
  /** Residual blocks of the translator at the lowest resolution. */
  depth: number;
  /** Groups of every normalisation. */
  groups: number;
  /** What every weight of the skip convolutions starts from; the published value is 1e-5. */
  skipInit: number;
  /** Whether the output is a correction added to the source; fits pairs that look alike. */
  residual: boolean;
}>;

const residualBlock = (scope: Scope, { from, to, groups }: { from: number; to: number; groups: number }): Layer<[Image], Image> => {
  const norm1 = groupNorm(scope.at('norm1'), { groups: Math.min(groups, from), channels: from });
  const conv1 = conv2d(scope.at('conv1'), { from, to, padding: 1 });
  const norm2 = groupNorm(scope.at('norm2'), { groups: Math.min(groups, to), channels: to });
  const conv2 = conv2d(scope.at('conv2'), { from: to, to, padding: 1, init: gaussian(1e-3), biasInit: zeros });
  const shortcut = from === to ? undefined : conv2d(scope.at('conv_shortcut'), { from, to, kernel: 1 });
  return scope.tapped((params, x) => {
    const h = conv1(params, silu(norm1(params, x)) as Image);
    return tf.add(shortcut ? shortcut(params, x) : x, conv2(params, silu(norm2(params, h)) as Image));
  });
};

const selfAttention = (scope: Scope, { channels, groups }: { channels: number; groups: number }): Layer<[Image], Image> => {
  const norm = groupNorm(scope.at('group_norm'), { groups, channels });
  const [q, k, v] = ['to_q', 'to_k', 'to_v'].map((name) => linear(scope.at(name), { from: channels, to: channels })) as [Layer<[tf.Tensor], tf.Tensor>, Layer<[tf.Tensor], tf.Tensor>, Layer<[tf.Tensor], tf.Tensor>];
  const out = linear(scope.at('to_out.0'), { from: channels, to: channels, init: gaussian(1e-3) });
  return scope.tapped((params, x) => {
    const [b, h, w, c] = x.shape;
    const tokens = tf.reshape(norm(params, x), [b, h * w, c]);
    return tf.add(x, tf.reshape(out(params, attend(q(params, tokens), k(params, tokens), v(params, tokens))), x.shape));
  });
};

/**
 * Builds the generator: `(noisy, r) -> output`.
 *   noisy   float32 [B, H, W, C], the source mixed with noise; H and W multiples of 2^(multipliers - 1)
 *   r       float32 [B, 1, 1, 1] in [0, 1]: the share of the source in `noisy`, which scales every skip, so that r = 0 forgets the source
 *   output  float32 [B, H, W, C], about [-1, 1], not clamped
 * @throws RangeError when there are fewer than two resolutions
 */
export const turboGenerator = (config: TurboConfig): Network<[noisy: Image, r: Image], Image> => {
  const { channels, base, multipliers, depth, groups, skipInit, residual } = config;
  if (multipliers.length < 2) throw new RangeError(`turboGenerator: expected at least two multipliers but received ${multipliers.length}`);
  return buildNetwork('generator', config, (root) => {
    const widths = multipliers.map((m) => m * base);
    const last = widths.length - 1;
    const low = widths[last] as number;
    const convIn = conv2d(root.at('conv_in'), { from: channels, to: base, padding: 1 });
    const down = widths.map((to, i) => {
      const scope = root.at('down_blocks').at(i);
      const from = i === 0 ? base : widths[i - 1] as number;
      return {
        block: residualBlock(scope.at('resnet'), { from, to, groups }),
        halve: i < last ? conv2d(scope.at('downsampler'), { from: to, to, stride: 2, padding: 1 }) : undefined,
      };
    });
    const middle = Array.from({ length: depth }, (_, i) => residualBlock(root.at('translator').at(i), { from: low, to: low, groups }));
    const attention = selfAttention(root.at('attention'), { channels: low, groups });
    const up = widths.map((_, j) => {
      const i = last - j;
      const scope = root.at('up_blocks').at(j);
      const width = widths[i] as number;
      const from = i === last ? low : widths[i + 1] as number;
      return {
        grow: i < last ? conv2d(scope.at('upsampler'), { from, to: width, padding: 1 }) : undefined,
        skip: conv2d(scope.at('skip_conv'), { from: width, to: width, kernel: 1, bias: false, init: constant(skipInit) }),
        block: residualBlock(scope.at('resnet'), { from: width, to: width, groups }),
      };
    });
    const normOut = groupNorm(root.at('conv_norm_out'), { groups: Math.min(groups, base), channels: widths[0] as number });
    const convOut = conv2d(root.at('conv_out'), { from: widths[0] as number, to: channels, padding: 1, init: gaussian(1e-3), biasInit: zeros });
    return (params, noisy, r) => {
      let h = convIn(params, noisy);
      const features = down.map(({ block, halve }) => {
        const feature = block(params, h);
        h = halve ? halve(params, feature) : feature;
        return feature;
      });
      for (const block of middle) h = block(params, h);
      h = attention(params, h);
      up.forEach(({ grow, skip, block }, j) => {
        if (grow) h = grow(params, upsampleNearest2x(h));
        h = block(params, tf.add(h, tf.mul(skip(params, features[last - j] as Image), r)));
      });
      const out = convOut(params, silu(normOut(params, h)) as Image);
      return residual ? tf.add(out, tf.mul(noisy, r)) : out;
    };
  });
};
