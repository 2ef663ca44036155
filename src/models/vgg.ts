import * as tf from '../tf.ts';
import { maxPool } from './maxPool.ts';
import { type Network, buildNetwork } from './network.ts';
import { conv2d } from './nn.ts';

type Image = tf.Tensor4D;

/** Widths of VGG16's convolutions, stage by stage; each stage but the first begins with a max pool. */
const stages = [[64, 64], [128, 128], [256, 256, 256], [512, 512, 512], [512, 512, 512]] as const;

/** Channels of what each stage returns. */
export const vggChannels = stages.map((widths) => widths.at(-1) as number);

/**
 * VGG16's trunk: `image -> features`, what the last ReLU of each of its five stages returns (relu1_2 .. relu5_3), at strides 1, 2, 4, 8, 16.
 * Image values are the caller's business (torchvision's weights expect ImageNet's mean and deviation taken out). Names are torchvision's, `features.0.weight` ...
 * @param options.stages how many of the five to compute
 * @source Simonyan and Zisserman 2014, arXiv 1409.1556, table 1 D
 */
export const vgg16 = ({ stages: used = 5 }: { stages?: number } = {}): Network<[image: Image], Image[]> => {
  if (!Number.isInteger(used) || used < 1 || used > 5) throw new RangeError(`vgg16: expected stages in 1..5 but received ${used}`);
  return buildNetwork('vgg16', { stages: used }, (root) => {
    let place = 0;
    let from = 3;
    const built = stages.slice(0, used).map((widths, i) => {
      if (i > 0) place += 1;
      return widths.map((to) => {
        const layer = conv2d(root.at('features').at(place), { from, to, padding: 1 });
        [place, from] = [place + 2, to];
        return layer;
      });
    });
    return (params, image) => {
      let x = image;
      return built.map((layers, i) => {
        if (i > 0) x = maxPool(x, 2);
        for (const layer of layers) x = tf.relu(layer(params, x));
        return x;
      });
    };
  });
};
