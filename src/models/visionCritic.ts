/**
 * A critic that looks through the eyes of a frozen CLIP: small heads on what its image transformer makes of a picture.
 * @source Kumari et al. 2021, arXiv 2112.09130, sec. 3; nupurkmr9/vision-aided-gan, `MultiLevelDViT`
 */
import * as tf from '../tf.ts';
import { adaptivePool } from './adaptivePool.ts';
import { type Clip, type ClipImage, clipPixels } from './clip.ts';
import { leakyRelu } from './leakyRelu.ts';
import { type Layer, type Network, type Params, type Scope, buildNetwork } from './network.ts';
import { convolve } from './nn.ts';
import { spectralConv2d } from './spectralNorm.ts';

type Image = tf.Tensor4D;

/** What a critic with several heads says: one tensor of logits for each. */
export type HeadLogits = readonly tf.Tensor[];

/** Low pass [1, 3, 3, 1] along both axes at the full resolution; zeros around. */
const blurred = (x: Image): Image => {
  const [, , , c] = x.shape;
  const taps = [1, 3, 3, 1].map((tap) => tap / 8);
  const kernel = Float32Array.from({ length: 16 * c }, (_, i) => (taps[Math.floor(i / 4) % 4] as number) * (taps[i % 4] as number));
  return convolve(x, tf.tensor4d(kernel, [c, 1, 4, 4]), { padding: [[1, 2], [1, 2]], groups: c });
};

const spatialHead = (scope: Scope, from: number, width: number): Layer<[Image], Image> => {
  const conv = spectralConv2d(scope.at('conv'), { from, to: width, padding: 1 });
  const out = spectralConv2d(scope.at('out'), { from: width, to: 1, kernel: 1, stride: 2 });
  return (params, x) => out(params, blurred(leakyRelu(conv(params, x))));
};

const globalHead = (scope: Scope, from: number, width: number): Layer<[tf.Tensor2D], tf.Tensor> => {
  // Linear layers, as convolutions of one position.
  const linear = spectralConv2d(scope.at('linear'), { from, to: width, kernel: 1 });
  const out = spectralConv2d(scope.at('out'), { from: width, to: 1, kernel: 1 });
  return (params, x) => out(params, leakyRelu(linear(params, tf.reshape(x, [x.shape[0], 1, 1, from]))));
};

/** What a critic judges by: the picture itself, or what a frozen network sees in it. */
export type Sight = readonly tf.Tensor[];

/**
 * Builds the heads: `(sight) -> logits`, one map of logits for each of two maps and one number per picture (see `sightOf`).
 * @param options.width channels of every head
 */
export const visionHeads = ({ config }: Pick<Clip, 'config'>, { width = 256 }: { width?: number } = {}): Network<[sight: Sight], HeadLogits> =>
  buildNetwork('critic', { kind: 'vision', width }, (root) => {
    const spatial = [0, 1].map((i) => spatialHead(root.at('decoder').at(i), config.vision_config.hidden_size, width));
    const whole = globalHead(root.at('decoder').at(2), config.projection_dim, width);
    return (params, sight) => [...spatial.map((head, i) => head(params, sight[i] as Image)), whole(params, sight[2] as tf.Tensor2D)];
  });

/** Averages pixels down to a size, as `F.interpolate(mode="area")`. */
const resizeArea = (x: Image, size: number): Image => {
  const [b, h, w, c] = x.shape;
  const small = adaptivePool(tf.reshape(tf.transpose(x, [0, 3, 1, 2]), [b * c, h, w, 1]), size, size);
  return tf.transpose(tf.reshape(small, [b, c, size, size]), [0, 2, 3, 1]);
};

/**
 * What a frozen CLIP sees in pictures of any size, float32 [B, H, W, 3] in [-1, 1]: its maps [B, h, w, width] after the first and second third of its blocks, and its
 * embedding of the whole, [B, projection]. Gradients flow into the picture.
 * @param look runs CLIP's image transformer
 */
export const sightOf = ({ config }: Pick<Clip, 'config'>, look: (pixels: Image) => ClipImage, image: Image): Sight => {
  const { image_size: size, num_hidden_layers: blocks } = config.vision_config;
  const { maps, embedding } = look(clipPixels(resizeArea(image, size)));
  return [...[1, 2].map((third) => maps[Math.ceil((third * blocks) / 3) - 1] as Image), embedding];
};

/** CLIP's image half as a network of its own, for which the text half's weights need not be there. */
export const visionOf = ({ specs, image, config }: Clip): Network<[pixels: Image], ClipImage> => ({
  name: 'clip', config, specs: new Map([...specs].filter(([name]) => /^(vision_model|visual_projection)\./.test(name))), apply: (params: Params, pixels) => image(params, pixels),
});
