import * as tf from '../tf.ts';
import { maxPool } from './maxPool.ts';
import { type Layer, type Network, type Scope, buildNetwork } from './network.ts';
import { conv2d } from './nn.ts';

type Image = tf.Tensor4D;

/** Place in torchvision's `features`, squeezed and expanded width, whether a max pool comes before, and whether the output is a feature. */
const fires = [
  { place: 3, squeeze: 16, expand: 64, pooled: true, kept: false }, { place: 4, squeeze: 16, expand: 64, pooled: false, kept: true },
  { place: 6, squeeze: 32, expand: 128, pooled: true, kept: false }, { place: 7, squeeze: 32, expand: 128, pooled: false, kept: true },
  { place: 9, squeeze: 48, expand: 192, pooled: true, kept: true }, { place: 10, squeeze: 48, expand: 192, pooled: false, kept: true },
  { place: 11, squeeze: 64, expand: 256, pooled: false, kept: true }, { place: 12, squeeze: 64, expand: 256, pooled: false, kept: true },
] as const;

export const squeezenetChannels = [64, ...fires.filter(({ kept }) => kept).map(({ expand }) => 2 * expand)];

const fire = (scope: Scope, from: number, squeeze: number, expand: number): Layer<[Image], Image> => {
  const narrow = conv2d(scope.at('squeeze'), { from, to: squeeze, kernel: 1 });
  const small = conv2d(scope.at('expand1x1'), { from: squeeze, to: expand, kernel: 1 });
  const large = conv2d(scope.at('expand3x3'), { from: squeeze, to: expand, padding: 1 });
  return (params, x) => {
    const y = tf.relu(narrow(params, x));
    return tf.relu(tf.concat([small(params, y), large(params, y)], 3));
  };
};

/**
 * SqueezeNet 1.1's trunk: `image -> features`, the seven that LPIPS looks at (the stem and fires 4, 7, 9, 10, 11, 12). Names are torchvision's.
 * @source Iandola et al. 2016, arXiv 1602.07360, and its version 1.1
 */
export const squeezenet = (): Network<[image: Image], Image[]> => buildNetwork('squeezenet1_1', {}, (root) => {
  const at = (place: number): Scope => root.at('features').at(place);
  const stem = conv2d(at(0), { from: 3, to: 64, stride: 2 });
  const built = fires.map(({ place, squeeze, expand, pooled, kept }, i) => ({ pooled, kept, layer: fire(at(place), i === 0 ? 64 : 2 * (fires[i - 1] as (typeof fires)[number]).expand, squeeze, expand) }));
  return (params, image) => {
    let x = tf.relu(stem(params, image));
    const features = [x];
    for (const { pooled, kept, layer } of built) {
      x = layer(params, pooled ? maxPool(x, 3, { ceil: true }) : x);
      if (kept) features.push(x);
    }
    return features;
  };
});
