import * as tf from '../../tf.ts';
import type { Layer, Scope } from '../network.ts';
import { conv2d, groupNorm } from '../nn.ts';
import { plain, sequential } from './sequential.ts';

type Image = tf.Tensor4D;

/**
 * The residual block of TAESD: relu(conv(act(conv(act(conv(x))))) + skip(x)), 3x3 convolutions with bias; skip is a 1x1 convolution where the width
 * changes. With `pool` (the FLUX.2 variant) x + pool(x) goes in instead of x: 1x1 convolution to four times the width, GroupNorm of 4 groups, ReLU,
 * 1x1 convolution back.
 * @source madebyollin/taesd; diffusers `AutoencoderTinyBlock`
 */
export const tinyBlock = (scope: Scope, { from, to, act, pool = false }: { from: number; to: number; act: (x: Image) => Image; pool?: boolean }): Layer<[Image], Image> => {
  const conv = sequential(scope.at('conv'), [
    (place) => conv2d(place, { from, to, padding: 1 }), plain(act),
    (place) => conv2d(place, { from: to, to, padding: 1 }), plain(act),
    (place) => conv2d(place, { from: to, to, padding: 1 }),
  ]);
  const skip = from === to ? undefined : conv2d(scope.at('skip'), { from, to, kernel: 1, bias: false });
  const pooled = pool ? sequential(scope.at('pool'), [
    (place) => conv2d(place, { from, to: from * 4, kernel: 1, bias: false }),
    (place) => groupNorm(place, { groups: 4, channels: from * 4 }) as Layer<[Image], Image>, plain(tf.relu),
    (place) => conv2d(place, { from: from * 4, to: from, kernel: 1, bias: false }),
  ]) : undefined;
  return scope.tapped((params, input) => {
    const x = pooled ? tf.add<Image>(input, pooled(params, input)) : input;
    return tf.relu(tf.add<Image>(conv(params, x), skip ? skip(params, x) : x));
  });
};
