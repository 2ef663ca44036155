import * as tf from '../tf.ts';
import { torchDefault, zeros } from './init.ts';
import { trunkPixels } from './lpips.ts';
import { type Layer, type Network, buildNetwork, within } from './network.ts';
import { conv2d } from './nn.ts';
import { vgg16, vggChannels } from './vgg.ts';

type Image = tf.Tensor4D;

/** Per stage of VGG16: the strides that bring its features to a sixteenth of the image, and the width between two of them. Each kernel is as wide as its stride. */
const heads: readonly Readonly<{ first: number; between?: Readonly<{ width: number; second: number }> }>[] = [
  { first: 4, between: { width: 32, second: 4 } }, { first: 4, between: { width: 64, second: 2 } }, { first: 2, between: { width: 128, second: 2 } }, { first: 2 }, { first: 1 },
];

/** The least side of an image it judges, and the side of the patches: pixels. */
export const vggPatch = 16;

/** Whether a parameter is one of the trunk's, which stays as it is given. */
export const ofTrunk = (name: string): boolean => name.startsWith('features.');

/**
 * Builds a critic that looks through a frozen VGG16: `(image) -> logits`, float32 [B, H, W, 3] in [-1, 1] to [B, H / 16, W / 16, 1]. Each stage's features go through a small
 * head, and the heads' logits are summed. Their last weights begin at zero, so that a fresh critic has no opinion.
 * Parameters are torchvision's `features.*` (freeze them, see `ofTrunk`) and `binary_classifier{1..5}.*`.
 * @throws RangeError (applied) for images smaller than a patch
 * @source cloneofsimo/vqgan-training, `PatchDiscriminator`
 */
export const vggCritic = (): Network<[image: Image], Image> => buildNetwork('critic', { kind: 'vgg' }, (root) => {
  const trunk = within(root, vgg16());
  const judges = heads.map(({ first, between }, i): Layer<[Image], Image> => {
    const [at, from] = [root.at(`binary_classifier${i + 1}`), vggChannels[i] as number];
    const convolution = (place: number, from: number, to: number, stride: number): Layer<[Image], Image> => conv2d(at.at(place), { from, to, kernel: stride, stride, init: to === 1 ? zeros : torchDefault });
    if (!between) return convolution(0, from, 1, first);
    const [hidden, last] = [convolution(0, from, between.width, first), convolution(2, between.width, 1, between.second)];
    return (params, x) => last(params, tf.relu(hidden(params, x)));
  });
  return (params, image) => {
    const side = Math.min(image.shape[1], image.shape[2]);
    if (side < vggPatch) throw new RangeError(`vggCritic: expected images of at least ${vggPatch} px but received ${side}`);
    return trunk(params, trunkPixels(image)).map((features, i) => (judges[i] as Layer<[Image], Image>)(params, features)).reduce((a, b) => tf.add(a, b));
  };
});
