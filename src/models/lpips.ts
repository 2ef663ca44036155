/**
 * LPIPS v0.1, the learned perceptual distance of two images.
 * @source Zhang et al. 2018, arXiv 1801.03924, eq. 1, with the constants of richzhang/PerceptualSimilarity
 */
import * as tf from '../tf.ts';
import { alexnet, alexnetChannels } from './alexnet.ts';
import { resizeBilinear } from './blocks/upsample.ts';
import { ones } from './init.ts';
import { type Network, type Params, buildNetwork, param, within } from './network.ts';
import { squeezenet, squeezenetChannels } from './squeezenet.ts';
import { vgg16, vggChannels } from './vgg.ts';

type Image = tf.Tensor4D;

/** The frozen trunk whose features are compared: VGG16 as a loss, AlexNet as a metric, SqueezeNet 1.1 where both are too large. */
export type LpipsBackbone = 'alex' | 'vgg' | 'squeeze';

const backbones: Readonly<Record<LpipsBackbone, { make: () => Network<[Image], Image[]>; channels: readonly number[] }>> = {
  alex: { make: alexnet, channels: alexnetChannels }, vgg: { make: vgg16, channels: vggChannels }, squeeze: { make: squeezenet, channels: squeezenetChannels },
};

/** ImageNet's mean and deviation, expressed for images in [-1, 1]. */
const shift = [-0.03, -0.088, -0.188] as const;
const scale = [0.458, 0.448, 0.45] as const;

/** Distances: `total` is the sum of `layers`. */
export type Lpips = Readonly<{
  /** float32 [B] */
  total: tf.Tensor1D;
  /** float32 [B] for each of the trunk's features. */
  layers: readonly tf.Tensor1D[];
  /** Per feature and pixel, before the mean: float32 [B, h, w, 1]. */
  maps: readonly Image[];
}>;

/** Every pixel's features at length 1. The small number under the root has no effect on values; a root has no slope at 0. */
const unitLength = (f: Image): Image => tf.div(f, tf.add(tf.sqrt(tf.add(tf.sum(tf.square(f), 3, true), 1e-20)), 1e-10));

/** An image in [-1, 1] as the trunks expect it. */
export const trunkPixels = (image: Image): Image => tf.div(tf.sub(image, [...shift]), [...scale]);

/**
 * Builds the distance: `(x, y) -> distances`, both float32 [B, H, W, 3] in [-1, 1].
 * Parameters are torchvision's `features.*` of the trunk and `lin{k}.model.1.weight` [1, C, 1, 1]; freeze them all. Gradients flow into both images.
 * @param options.linear false leaves the learned weights out: all channels count alike
 * @throws RangeError for an unknown trunk, or (applied) for images too small for it
 */
export const lpips = (backbone: LpipsBackbone = 'vgg', { linear = true }: { linear?: boolean } = {}): Network<[x: Image, y: Image], Lpips> => {
  const known = backbones[backbone];
  if (!known) throw new RangeError(`lpips: expected alex, vgg or squeeze but received ${backbone}`);
  return buildNetwork('lpips', { backbone, linear, version: '0.1' }, (root) => {
    const trunk = within(root, known.make());
    const weights = known.channels.map((channels, k) => (linear ? root.param(`lin${k}.model.1.weight`, [1, channels, 1, 1], ones) : undefined));
    const features = (params: Params, x: Image): Image[] => trunk(params, trunkPixels(x)).map(unitLength);
    return (params, x, y) => {
      const [ofX, ofY] = [features(params, x), features(params, y)];
      const maps = weights.map((name, k) => {
        const apart = tf.square(tf.sub<Image>(ofX[k] as Image, ofY[k] as Image));
        return tf.sum<Image>(name === undefined ? apart : tf.mul(apart, tf.reshape(param(params, name), [1, 1, 1, -1])), 3, true);
      });
      const layers = maps.map((map) => tf.mean<tf.Tensor1D>(map, [1, 2, 3]));
      return { total: layers.reduce((a, b) => tf.add(a, b)), layers, maps };
    };
  });
};

/** The distance at every pixel: each feature's map enlarged to the images' size (bilinear) and summed. float32 [B, H, W, 1] */
export const spatialLpips = ({ maps }: Lpips, height: number, width: number): Image => maps.map((map) => resizeBilinear(map, height, width)).reduce((a, b) => tf.add(a, b));
