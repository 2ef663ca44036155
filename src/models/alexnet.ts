import * as tf from '../tf.ts';
import { maxPool } from './maxPool.ts';
import { type Network, buildNetwork } from './network.ts';
import { conv2d } from './nn.ts';

type Image = tf.Tensor4D;

/** Place in torchvision's `features`, sizes, and whether a max pool of 3 comes before. */
const layers = [
  { place: 0, to: 64, kernel: 11, stride: 4, padding: 2, pooled: false },
  { place: 3, to: 192, kernel: 5, stride: 1, padding: 2, pooled: true },
  { place: 6, to: 384, kernel: 3, stride: 1, padding: 1, pooled: true },
  { place: 8, to: 256, kernel: 3, stride: 1, padding: 1, pooled: false },
  { place: 10, to: 256, kernel: 3, stride: 1, padding: 1, pooled: false },
] as const;

export const alexnetChannels = layers.map(({ to }) => to as number);

/**
 * AlexNet's trunk: `image -> features`, what its five ReLUs return, at strides 4, 8, 16, 16, 16. Names are torchvision's.
 * @source Krizhevsky 2014, arXiv 1404.5997 (the one-column form)
 */
export const alexnet = (): Network<[image: Image], Image[]> => buildNetwork('alexnet', {}, (root) => {
  const built = layers.map(({ place, pooled, ...sizes }, i) => ({ pooled, layer: conv2d(root.at('features').at(place), { from: layers[i - 1]?.to ?? 3, ...sizes }) }));
  return (params, image) => {
    let x = image;
    return built.map(({ pooled, layer }) => (x = tf.relu(layer(params, pooled ? maxPool(x, 3) : x))));
  };
});
