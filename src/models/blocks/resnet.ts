/** The residual block of the diffusers UNets and autoencoders. */
import * as tf from '../../tf.ts';
import type { Layer, Scope } from '../network.ts';
import { conv2d, groupNorm, linear, upsampleNearest2x } from '../nn.ts';
import { type ActivationName, activation } from './activation.ts';
import { averagePool2x, firDownsample, firUpsample } from './resample.ts';

type Image = tf.Tensor4D;

/** How a time embedding enters: added after the first convolution, or as scale and shift of the second norm. */
export type TimeShift = 'default' | 'scale_shift';

const resamplers = { up: upsampleNearest2x, down: averagePool2x, firUp: firUpsample, firDown: firDownsample } satisfies Record<string, (x: Image) => Image>;

export type ResnetOptions = Readonly<{
  from: number;
  to: number;
  /** Width of the time embedding; without one the block takes none. */
  temb?: number | undefined;
  groups: number;
  /** Groups of the second norm; as the first by default. */
  groupsOut?: number;
  eps: number;
  act: ActivationName;
  timeShift?: TimeShift;
  /** Whether the time embedding is used without the activation before its projection. */
  skipTimeAct?: boolean;
  /** What the sum is divided by. */
  scale?: number;
  /** Whether the shortcut is a 1x1 convolution even where the width stays. */
  convShortcut?: boolean;
  /** Changes the size, after the first norm and on the shortcut. */
  resample?: keyof typeof resamplers;
}>;

/**
 * x -> (shortcut(x) + conv2(act(norm2(conv1(act(norm1(x))) + time)))) / scale.
 * @returns a layer of `(image [B, H, W, from], temb [B, temb] or undefined)` to [B, H', W', to]
 * @source diffusers `ResnetBlock2D`; He et al. 2016, arXiv 1603.05027
 */
export const resnetBlock = (scope: Scope, {
  from, to, temb, groups, groupsOut = groups, eps, act, timeShift = 'default', skipTimeAct = false, scale = 1, convShortcut = from !== to, resample,
}: ResnetOptions): Layer<[image: Image, temb: tf.Tensor2D | undefined], Image> => {
  const f = activation(act);
  const norm1 = groupNorm(scope.at('norm1'), { groups, channels: from, eps });
  const conv1 = conv2d(scope.at('conv1'), { from, to, padding: 1 });
  const project = temb === undefined ? undefined : linear(scope.at('time_emb_proj'), { from: temb, to: timeShift === 'default' ? to : 2 * to });
  const norm2 = groupNorm(scope.at('norm2'), { groups: groupsOut, channels: to, eps });
  const conv2 = conv2d(scope.at('conv2'), { from: to, to, padding: 1 });
  const shortcut = convShortcut ? conv2d(scope.at('conv_shortcut'), { from, to, kernel: 1 }) : undefined;
  const size = resample === undefined ? (x: Image) => x : resamplers[resample];
  return scope.tapped((params, x, time) => {
    const h = conv1(params, size(f(norm1(params, x)) as Image));
    const shift = project && time ? tf.reshape(project(params, skipTimeAct ? time : f(time)), [x.shape[0], 1, 1, -1]) : undefined;
    const timed = ((): tf.Tensor => {
      if (shift === undefined) return norm2(params, h);
      if (timeShift === 'default') return norm2(params, tf.add(h, shift));
      const [gain, offset] = tf.split(shift, 2, 3) as [tf.Tensor, tf.Tensor];
      return tf.add(tf.mul(norm2(params, h), tf.add(gain, 1)), offset);
    })();
    const y = conv2(params, f(timed) as Image);
    const straight = size(x);
    const sum = tf.add<Image>(shortcut ? shortcut(params, straight) : straight, y);
    return scale === 1 ? sum : tf.div(sum, scale);
  });
};
