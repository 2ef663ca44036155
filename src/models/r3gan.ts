/**
 * The R3GAN networks: plain grouped residual blocks, no normalisation, low-pass resampling.
 * @source Huang et al. 2025, arXiv 2501.05441, section 4; names and layout of brownvc/R3GAN, `R3GAN/Networks.py`
 */
import * as tf from '../tf.ts';
import { type Init, fanIn, gaussian, zeros } from './init.ts';
import { groupedConvolve } from './groupedConv.ts';
import { leakyRelu } from './leakyRelu.ts';
import { downsampleLowPass, lowPassTaps, upsampleLowPass } from './lowPass.ts';
import { type Layer, type Network, type Scope, buildNetwork, param } from './network.ts';
import { linear } from './nn.ts';

type Image = tf.Tensor4D;

/** What both networks are made from; one entry per resolution, generator from low to high, critic from high to low. */
export type R3ganConfig = Readonly<{
  widths: readonly number[];
  /** Groups of each stage's middle convolutions. */
  cardinalities: readonly number[];
  /** Residual blocks of each stage. */
  blocks: readonly number[];
  /** Width of the middle convolutions over the stage's. */
  expansion: number;
  kernel: number;
  /** Low-pass filter of the resampling, before it is convolved with [1, 1]. */
  filter: readonly number[];
  /** Length of a class or other condition vector; 0 for none, and of its embedding. */
  condition: number;
  embedding: number;
  /** Channels of the image; for a critic that judges pairs, of both together. */
  channels: number;
}>;

const defaults = { expansion: 2, kernel: 3, filter: [1, 2, 1], condition: 0, embedding: 0, channels: 3 } as const;

/** Gain of a leaky ReLU of slope 0.2. */
export const activationGain = Math.sqrt(2 / (1 + 0.2 ** 2));

/** N(0, gain^2 / fan in). */
const scaled = (gain: number): Init => (key, shape) => gaussian(gain / Math.sqrt(fanIn(shape)))(key, shape);

/** A convolution without bias, stride 1. */
export const convolution = (scope: Scope, from: number, to: number, { kernel = 1, groups = 1, init = scaled(1) }: { kernel?: number; groups?: number; init?: Init } = {}): Layer<[Image], Image> => {
  const weight = scope.at('Layer').param('weight', [to, from / groups, kernel, kernel], init);
  return scope.tapped((params, x) => (kernel === 1 && groups === 1
    ? tf.reshape(tf.matMul(tf.reshape(x, [-1, from]), tf.reshape(param(params, weight), [to, from]) as tf.Tensor2D, false, true), [...x.shape.slice(0, 3), to] as Image['shape'])
    : groupedConvolve(x, param(params, weight), groups)));
};

const biasedActivation = (scope: Scope, channels: number): Layer<[Image], Image> => {
  const bias = scope.param('Bias', [channels], zeros);
  return (params, x) => leakyRelu(tf.add(x, param(params, bias)));
};

/** x + contract(act(mix(act(expand(x))))): nothing at first, since the last convolution starts at zero. @param depth residual blocks of the whole network */
export const residualBlock = (scope: Scope, width: number, cardinality: number, { expansion, kernel }: R3ganConfig, depth: number): Layer<[Image], Image> => {
  const wide = width * expansion;
  const init = scaled(activationGain * depth ** (-1 / 4));
  const expand = convolution(scope.at('LinearLayer1'), width, wide, { init });
  const mix = convolution(scope.at('LinearLayer2'), wide, wide, { kernel, groups: cardinality, init });
  const contract = convolution(scope.at('LinearLayer3'), wide, width, { init: zeros });
  const [first, second] = [biasedActivation(scope.at('NonLinearity1'), wide), biasedActivation(scope.at('NonLinearity2'), wide)];
  return scope.tapped((params, x) => tf.add(x, contract(params, second(params, mix(params, first(params, expand(params, x)))))));
};

/** Registers the resampler's kernel, which the reference stores though it is fixed, and returns its taps and radius. */
const resampler = (scope: Scope, filter: readonly number[]): readonly [taps: number[], radius: number] => {
  const taps = lowPassTaps(filter);
  scope.at('Resampler').param('Kernel', [taps.length, taps.length], () => Float32Array.from(taps.flatMap((a) => taps.map((b) => a * b))), { buffer: true });
  return [taps, Math.floor(filter.length / 2)];
};

export const upsample = (scope: Scope, from: number, to: number, filter: readonly number[]): Layer<[Image], Image> => {
  const [taps, radius] = resampler(scope, filter);
  const change = from === to ? undefined : convolution(scope.at('LinearLayer'), from, to);
  return scope.tapped((params, x) => upsampleLowPass(change ? change(params, x) : x, taps, radius));
};

export const downsample = (scope: Scope, from: number, to: number, filter: readonly number[]): Layer<[Image], Image> => {
  const [taps, radius] = resampler(scope, filter);
  const change = from === to ? undefined : convolution(scope.at('LinearLayer'), from, to);
  return scope.tapped((params, x) => {
    const y = downsampleLowPass(x, taps, radius);
    return change ? change(params, y) : y;
  });
};

/** From a vector to [B, 4, 4, to]: a learned basis, scaled per channel. */
const generativeBasis = (scope: Scope, from: number, to: number): Layer<[tf.Tensor2D], Image> => {
  const basis = scope.param('Basis', [to, 4, 4], gaussian(1));
  const scale = linear(scope.at('LinearLayer'), { from, to, bias: false, init: scaled(1) });
  return scope.tapped((params, z) => tf.mul(tf.expandDims(tf.transpose(param(params, basis), [1, 2, 0]), 0), tf.reshape(scale(params, z), [z.shape[0], 1, 1, to])) as Image);
};

/** From [B, 4, 4, from] to a vector: a weighted sum over the places of each channel, then a linear map. */
const discriminativeBasis = (scope: Scope, from: number, to: number): Layer<[Image], tf.Tensor2D> => {
  const basis = scope.at('Basis').param('weight', [from, 1, 4, 4], scaled(1));
  const combine = linear(scope.at('LinearLayer'), { from, to, bias: false, init: scaled(1) });
  return scope.tapped((params, x) => {
    if (x.shape[1] !== 4 || x.shape[2] !== 4) throw new RangeError(`r3ganCritic: expected 4 x 4 values at the last stage but received ${x.shape[2]} x ${x.shape[1]}; images must be 4 * 2^(stages - 1) px`);
    const places = tf.transpose(tf.reshape(param(params, basis), [from, 16]));
    return combine(params, tf.sum(tf.mul(tf.reshape(x, [x.shape[0], 16, from]), places), 1)) as tf.Tensor2D;
  });
};

/** Fills in what was left out. @throws RangeError when the lists differ in length or a cardinality does not divide its channels */
export const checked = (name: string, options: Partial<R3ganConfig> & Pick<R3ganConfig, 'widths' | 'cardinalities' | 'blocks'>): R3ganConfig => {
  const config = { ...defaults, ...options };
  const { widths, cardinalities, blocks, expansion } = config;
  if (widths.length === 0 || cardinalities.length !== widths.length || blocks.length !== widths.length) {
    throw new RangeError(`${name}: expected as many cardinalities and blocks as widths but received ${cardinalities.length}, ${blocks.length} and ${widths.length}`);
  }
  widths.forEach((width, i) => {
    if ((width * expansion) % (cardinalities[i] as number) !== 0) throw new RangeError(`${name}: expected cardinality ${cardinalities[i]} to divide ${width * expansion} channels`);
  });
  return config;
};

export type Sizes = Pick<R3ganConfig, 'widths' | 'cardinalities' | 'blocks'>;

/**
 * Builds the generator: `(noise, condition?) -> image`.
 *   noise      float32 [B, noise], unit normal
 *   condition  float32 [B, condition], one-hot for classes
 *   image      float32 [B, R, R, channels], R = 4 * 2^(stages - 1), about [-1, 1], not clamped
 * @throws RangeError when the lists differ in length or a cardinality does not divide its channels
 */
export const r3ganGenerator = ({ noise, ...options }: Partial<R3ganConfig> & Sizes & { noise: number }): Network<[noise: tf.Tensor2D, condition?: tf.Tensor2D], Image> => {
  const config = checked('r3ganGenerator', options);
  const { widths, cardinalities, blocks, filter, condition, embedding, channels } = config;
  return buildNetwork('generator', { noise, ...config }, (root) => {
    const depth = blocks.reduce((a, b) => a + b, 0);
    const first = generativeBasis(root.at('MainLayers.0.Layers.0'), noise + (condition > 0 ? embedding : 0), widths[0] as number);
    const stages = widths.map((width, i) => {
      const at = root.at('MainLayers').at(i).at('Layers');
      return [
        ...(i === 0 ? [] : [upsample(at.at(0), widths[i - 1] as number, width, filter)]),
        ...Array.from({ length: blocks[i] as number }, (_, j) => residualBlock(at.at(j + 1), width, cardinalities[i] as number, config, depth)),
      ];
    });
    const last = convolution(root.at('AggregationLayer'), widths.at(-1) as number, channels);
    const embed = condition > 0 ? linear(root.at('EmbeddingLayer'), { from: condition, to: embedding, bias: false, init: scaled(1) }) : undefined;
    return (params, z, y) => {
      if ((y !== undefined) !== (embed !== undefined)) throw new TypeError(`r3ganGenerator: expected ${embed ? 'a' : 'no'} condition but received ${y ? 'one' : 'none'}`);
      const start = embed && y ? tf.concat([z, embed(params, y) as tf.Tensor2D], 1) : z;
      return last(params, stages.flat().reduce((x, layer) => layer(params, x), first(params, start)));
    };
  });
};

/**
 * Builds the critic: `(image, condition?) -> logits`.
 *   image      float32 [B, R, R, channels], R = 4 * 2^(stages - 1); a critic of pairs gets source and candidate on the channel axis
 *   condition  float32 [B, condition]
 *   logits     float32 [B]
 * @throws RangeError when the lists differ in length, a cardinality does not divide its channels, or (applied) for images of another size
 */
export const r3ganCritic = (options: Partial<R3ganConfig> & Sizes): Network<[image: Image, condition?: tf.Tensor2D], tf.Tensor1D> => {
  const config = checked('r3ganCritic', options);
  const { widths, cardinalities, blocks, filter, condition, embedding, channels } = config;
  return buildNetwork('critic', config, (root) => {
    const depth = blocks.reduce((a, b) => a + b, 0);
    const first = convolution(root.at('ExtractionLayer'), channels, widths[0] as number);
    const stages = widths.map((width, i) => {
      const at = root.at('MainLayers').at(i).at('Layers');
      const own = Array.from({ length: blocks[i] as number }, (_, j) => residualBlock(at.at(j), width, cardinalities[i] as number, config, depth));
      return i + 1 < widths.length ? [...own, downsample(at.at(own.length), width, widths[i + 1] as number, filter)] : own;
    });
    const last = discriminativeBasis(root.at('MainLayers').at(widths.length - 1).at('Layers').at(blocks.at(-1) as number), widths.at(-1) as number, condition > 0 ? embedding : 1);
    const embed = condition > 0 ? linear(root.at('EmbeddingLayer'), { from: condition, to: embedding, bias: false, init: scaled(1 / Math.sqrt(embedding)) }) : undefined;
    return (params, image, y) => {
      if ((y !== undefined) !== (embed !== undefined)) throw new TypeError(`r3ganCritic: expected ${embed ? 'a' : 'no'} condition but received ${y ? 'one' : 'none'}`);
      const features = last(params, stages.flat().reduce((x, layer) => layer(params, x), first(params, image)));
      return tf.reshape(embed && y ? tf.sum(tf.mul(features, embed(params, y)), 1) : features, [image.shape[0]]);
    };
  });
};
