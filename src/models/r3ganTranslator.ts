/** R3GAN's blocks as an image-to-image network, and the sizes of all its networks from a few numbers. */
import * as tf from '../tf.ts';
import { type Network, buildNetwork } from './network.ts';
import { type R3ganConfig, type Sizes, checked, convolution, downsample, residualBlock, upsample } from './r3gan.ts';

type Image = tf.Tensor4D;

/**
 * Stages from high to low resolution: the width doubles from `base` at every halving up to `most`, and middle convolutions have groups of `group` channels.
 * @throws RangeError when `group` does not divide twice a width
 */
export const r3ganSizes = ({ stages, base, most, blocks, group = 16 }: { stages: number; base: number; most: number; blocks: number; group?: number }): Sizes => {
  const widths = Array.from({ length: stages }, (_, i) => Math.min(most, base * 2 ** i));
  const odd = widths.find((width) => (2 * width) % group !== 0);
  if (odd !== undefined) throw new RangeError(`r3ganSizes: expected widths that are multiples of ${group / 2} but received ${odd}`);
  return { widths, cardinalities: widths.map((width) => (2 * width) / group), blocks: widths.map(() => blocks) };
};

/** The same stages from low to high resolution, as the generator has them. */
export const lowToHigh = ({ widths, cardinalities, blocks }: Sizes): Sizes => ({ widths: widths.toReversed(), cardinalities: cardinalities.toReversed(), blocks: blocks.toReversed() });

/** Stages from `size` px down to the 4 x 4 that generator and critic end at. @throws RangeError when there is no such number */
export const stagesOf = (size: number): number => {
  const stages = Math.log2(size / 4) + 1;
  if (!Number.isInteger(stages) || stages < 1) throw new RangeError(`r3gan: expected a size of 4, 8, 16, 32, 64 ... px but received ${size}`);
  return stages;
};

/**
 * Builds a translator: `(source) -> image`, the critic's stages down and the generator's up, each going up joined by a sum with what its resolution was going down.
 *   source, image  float32 [B, H, W, channels], sides multiples of 2^(stages - 1); the image is about [-1, 1], not clamped
 * The source's authors make images from vectors only; blocks, resampling and draws are theirs.
 * @param options stages from high to low resolution
 * @throws RangeError as `r3ganCritic`
 */
export const r3ganTranslator = (options: Partial<R3ganConfig> & Sizes): Network<[source: Image], Image> => {
  const config = checked('r3ganTranslator', options);
  const { widths, cardinalities, blocks, filter, channels } = config;
  return buildNetwork('generator', config, (root) => {
    const last = widths.length - 1;
    // Both ways have all blocks but the lowest stage, which is passed once.
    const depth = 2 * blocks.reduce((a, b) => a + b, 0) - (blocks[last] as number);
    const first = convolution(root.at('ExtractionLayer'), channels, widths[0] as number);
    const own = (side: string, i: number) => Array.from({ length: blocks[i] as number }, (_, j) => residualBlock(root.at(side).at(i).at('Layers').at(j), widths[i] as number, cardinalities[i] as number, config, depth));
    const down = widths.map((width, i) => ({ blocks: own('DownLayers', i), halve: i < last ? downsample(root.at('DownLayers').at(i).at('Transition'), width, widths[i + 1] as number, filter) : undefined }));
    const up = widths.slice(0, -1).map((width, i) => ({
      double: upsample(root.at('UpLayers').at(i).at('Transition'), widths[i + 1] as number, width, filter),
      skip: convolution(root.at('UpLayers').at(i).at('Skip'), width, width),
      blocks: own('UpLayers', i),
    })).toReversed();
    const out = convolution(root.at('AggregationLayer'), widths[0] as number, channels);
    return (params, source) => {
      let x = first(params, source);
      const seen = down.map(({ blocks, halve }) => {
        const there = blocks.reduce((y, block) => block(params, y), x);
        x = halve ? halve(params, there) : there;
        return there;
      });
      up.forEach(({ double, skip, blocks }, j) => {
        x = blocks.reduce((y, block) => block(params, y), tf.add(double(params, x), skip(params, seen[last - 1 - j] as Image)) as Image);
      });
      return out(params, x);
    };
  });
};
