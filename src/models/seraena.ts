import * as tf from '../tf.ts';
import { adaptivePool } from './adaptivePool.ts';
import { resizeNearest } from './blocks/upsample.ts';
import { type Network, buildNetwork } from './network.ts';
import { conv2d } from './nn.ts';
import { batchNorm } from './norms.ts';

type Image = tf.Tensor4D;

export type SeraenaConfig = Readonly<{
  /** Channels of the image that is judged. */
  channels: number;
  /** Channels of the context: a latent or a source image. */
  context: number;
  /** Width of each block. */
  widths: readonly number[];
  /** Stride of each block: 1 (3 x 3 convolution) or 2 (4 x 4). */
  strides: readonly number[];
  /** Values of the image: `signed` in [-1, 1], `unit` in [0, 1] as in the source. */
  range: 'signed' | 'unit';
}>;

const defaults: SeraenaConfig = { channels: 3, context: 4, widths: [64, 128, 256, 512, 512, 512], strides: [1, 2, 2, 2, 1, 1], range: 'signed' };

/**
 * Builds seraena's critic, which judges patches at every depth: `(image, context) -> scores`.
 *   image    float32 [B, H, W, channels]
 *   context  float32 [B, h, w, context], any smaller size; enlarged by nearest neighbour
 *   scores   float32 [B, floor(H / 8), floor(W / 8), blocks]; -1 says real, +1 says generated
 * @throws RangeError when widths and strides differ in length or a stride is neither 1 nor 2
 * @source madebyollin/seraena, `PatchDiscWithContext`
 */
export const seraenaCritic = (options: Partial<SeraenaConfig> = {}): Network<[image: Image, context: Image], Image> => {
  const config = { ...defaults, ...options };
  const { channels, context, widths, strides, range } = config;
  if (widths.length !== strides.length || widths.length === 0) throw new RangeError(`seraenaCritic: expected as many strides as widths but received ${strides.length} and ${widths.length}`);
  const strange = strides.find((stride) => stride !== 1 && stride !== 2);
  if (strange !== undefined) throw new RangeError(`seraenaCritic: expected strides of 1 or 2 but received ${strange}`);
  return buildNetwork('critic', config, (root) => {
    const blocks = widths.map((to, i) => {
      const stride = strides[i] as number;
      const at = root.at('blocks').at(i);
      return {
        conv: conv2d(at.at(0), { from: i === 0 ? channels + context : widths[i - 1] as number, to, kernel: stride === 2 ? 4 : 3, stride, padding: 1, bias: false }),
        norm: batchNorm(at.at(1), { channels: to }),
        judge: conv2d(root.at('proj').at(i), { from: to, to: 1, kernel: 1, bias: false }),
      };
    });
    return (params, image, given) => {
      const [, height, width] = image.shape;
      let x: Image = tf.concat([range === 'unit' ? tf.sub<Image>(tf.mul(image, 2), 1) : image, resizeNearest(given, height, width)], 3);
      const scores = blocks.map(({ conv, norm, judge }) => {
        x = tf.relu(norm(params, conv(params, x)));
        return adaptivePool(judge(params, x), Math.floor(height / 8), Math.floor(width / 8));
      });
      return tf.concat(scores, 3);
    };
  });
};
