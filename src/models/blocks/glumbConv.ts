import * as tf from '../../tf.ts';
import type { Layer, Scope } from '../network.ts';
import { conv2d, rmsNorm, silu } from '../nn.ts';

type Image = tf.Tensor4D;

/**
 * Gated inverted bottleneck: 1x1 to twice the hidden width, SiLU, depthwise 3x3, first half * SiLU(second half), 1x1 back, then RMS norm and residual
 * where asked for.
 * @source diffusers `GLUMBConv`; Xie et al. 2024 (Sana), arXiv 2410.10629, sec. 2.2
 */
export const glumbConv = (scope: Scope, { from, to, ratio = 4, norm = false, residual = true }: {
  from: number; to: number; ratio?: number; norm?: boolean; residual?: boolean;
}): Layer<[Image], Image> => {
  const hidden = Math.trunc(ratio * from);
  const inverted = conv2d(scope.at('conv_inverted'), { from, to: 2 * hidden, kernel: 1 });
  const depth = conv2d(scope.at('conv_depth'), { from: 2 * hidden, to: 2 * hidden, padding: 1, groups: 2 * hidden });
  const point = conv2d(scope.at('conv_point'), { from: hidden, to, kernel: 1, bias: false });
  const normalise = norm ? rmsNorm(scope.at('norm'), { channels: to, bias: true }) : undefined;
  return scope.tapped((params, x) => {
    const [h, gate] = tf.split(depth(params, silu(inverted(params, x))), 2, 3) as [Image, Image];
    const y = point(params, tf.mul(h, silu(gate)));
    const z = normalise ? normalise(params, y) as Image : y;
    return residual ? tf.add(z, x) : z;
  });
};
