import * as tf from '../tf.ts';
import { type Init, constant, gaussian, zeros } from './init.ts';
import { type Layer, type Network, type Scope, buildNetwork, param } from './network.ts';
import { conv2d, gelu, layerNorm, linear } from './nn.ts';

type Image = tf.Tensor4D;

/** Blocks and widths of the four stages. */
const sizes = {
  tiny: { depths: [3, 3, 9, 3], widths: [96, 192, 384, 768] }, small: { depths: [3, 3, 27, 3], widths: [96, 192, 384, 768] },
  base: { depths: [3, 3, 27, 3], widths: [128, 256, 512, 1024] }, large: { depths: [3, 3, 27, 3], widths: [192, 384, 768, 1536] },
} as const;

export type ConvnextSize = keyof typeof sizes;
export type ConvnextConfig = Readonly<{ depths: readonly number[]; widths: readonly number[] }>;

const truncated: Init = gaussian(0.02);

const block = (scope: Scope, channels: number): Layer<[Image], Image> => {
  const at = scope.at('block');
  const mix = conv2d(at.at(0), { from: channels, to: channels, kernel: 7, padding: 3, groups: channels, init: truncated, biasInit: zeros });
  const norm = layerNorm(at.at(2), { channels, eps: 1e-6 });
  const widen = linear(at.at(3), { from: channels, to: 4 * channels, init: truncated, biasInit: zeros });
  const narrow = linear(at.at(5), { from: 4 * channels, to: channels, init: truncated, biasInit: zeros });
  const scale = scope.param('layer_scale', [channels, 1, 1], constant(1e-6));
  return scope.tapped((params, x) => {
    const y = narrow(params, gelu(widen(params, norm(params, mix(params, x)))));
    return tf.add(x, tf.mul(y, tf.reshape(param(params, scale), [channels])) as Image);
  });
};

/** How many layers the trunk of a configuration has, each convolution, norm and block counting as one. */
export const convnextDepth = ({ depths }: ConvnextConfig): number => depths.reduce((a, b) => a + b, 0) + 2 * depths.length;

/**
 * ConvNeXt's trunk: `image -> outputs`, what each layer returns, from the stem's convolution on: stem, norm, blocks; then norm, convolution, blocks for each further
 * stage (26 layers for tiny). Strides 4, 8, 16, 32. Image values are the caller's business. Names are torchvision's, `features.0.0.weight` ...
 * @param options.size, or `depths` and `widths`
 * @param options.layers compute only the first so many; all by default
 * @source Liu et al. 2022, arXiv 2201.03545, section 2
 */
export const convnext = ({ size = 'tiny', layers, ...custom }: Partial<ConvnextConfig> & { size?: ConvnextSize; layers?: number } = {}): Network<[image: Image], Image[]> => {
  const known = sizes[size];
  if (!known) throw new RangeError(`convnext: expected tiny, small, base or large but received ${size}`);
  const config: ConvnextConfig = { ...known, ...custom };
  const { depths, widths } = config;
  const used = layers ?? convnextDepth(config);
  if (!Number.isInteger(used) || used < 1 || used > convnextDepth(config)) throw new RangeError(`convnext: expected layers in 1..${convnextDepth(config)} but received ${used}`);
  return buildNetwork('convnext', { ...config, layers: used }, (root) => {
    const at = (stage: number): Scope => root.at('features').at(stage);
    const norm = (scope: Scope, channels: number): Layer<[Image], Image> => layerNorm(scope, { channels, eps: 1e-6 }) as Layer<[Image], Image>;
    // Made one by one, so that layers beyond the last one used register nothing.
    const makers = depths.flatMap((depth, i): (() => Layer<[Image], Image>)[] => {
      const [from, to] = [widths[i - 1] ?? 3, widths[i] as number];
      const entry = i === 0
        ? [() => conv2d(at(0).at(0), { from, to, kernel: 4, stride: 4, init: truncated, biasInit: zeros }), () => norm(at(0).at(1), to)]
        : [() => norm(at(2 * i).at(0), from), () => conv2d(at(2 * i).at(1), { from, to, kernel: 2, stride: 2, init: truncated, biasInit: zeros })];
      return [...entry, ...Array.from({ length: depth }, (_, j) => () => block(at(2 * i + 1).at(j), to))];
    });
    const built = makers.slice(0, used).map((make) => make());
    return (params, image) => {
      let x = image;
      return built.map((layer) => (x = layer(params, x)));
    };
  });
};
