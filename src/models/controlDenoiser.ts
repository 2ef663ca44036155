/**
 * A ControlNet for the denoiser that the time-conditioned methods share: a copy of its way down that sees the source, too, and adds to its skips.
 * @source Zhang et al. 2023, arXiv 2302.05543; `controlNet.ts` is the diffusers model of the same idea
 */
import * as tf from '../tf.ts';
import type { ControlResiduals } from './controlNet.ts';
import { type DenoiserConfig, type Output, type Seen, denoiserParts, denoiserTrunk } from './denoiser.ts';
import { zeros } from './init.ts';
import { type Net, applyNet } from './net.ts';
import { type Layer, type Network, type Params, type Scope, buildNetwork, param } from './network.ts';
import { conv2d, silu } from './nn.ts';
import { unet2d, unet2dDescent } from './unet2d.ts';

type Image = tf.Tensor4D;
type Seeing<O> = (noisy: Image, t: tf.Tensor1D, source: Image) => O;

const middle = 'controlnet_mid_block';

/**
 * Builds the control network of an unconditioned denoiser: `(noisy, t, source) -> residuals`, one for each skip of the denoiser and one for its middle. Its own
 * copy of the way down has the denoiser's names, so that `inherit` can fill it; the source's last convolution and all that lead out start at zero.
 *   noisy, source  float32 [B, H, W, C] @param t float32 [B], about 0..1000
 */
export const controlDenoiser = (config: Omit<DenoiserConfig, 'conditioned'>): Network<[noisy: Image, t: tf.Tensor1D, source: Image], ControlResiduals> => {
  const { config: trunk } = unet2d(denoiserTrunk({ ...config, conditioned: false }));
  const { block_out_channels: widths, layers_per_block: layers } = trunk;
  const base = widths[0] as number;
  return buildNetwork<[Image, tf.Tensor1D, Image], ControlResiduals>('control', config, (root) => {
    const down = unet2dDescent(root, trunk, denoiserParts(config));
    const hint = root.at('controlnet_cond_embedding');
    const hintIn = conv2d(hint.at('conv_in'), { from: config.channels, to: base, padding: 1 });
    const hintOut = conv2d(hint.at('conv_out'), { from: base, to: base, padding: 1, init: zeros, biasInit: zeros });
    const zeroConv = (scope: Scope, width: number): Layer<[Image], Image> => conv2d(scope, { from: width, to: width, kernel: 1, init: zeros, biasInit: zeros });
    const skips = [base, ...widths.flatMap((width, i) => Array.from({ length: layers + (i < widths.length - 1 ? 1 : 0) }, () => width))];
    const zeroConvs = skips.map((width, i) => zeroConv(root.at('controlnet_down_blocks').at(i), width));
    const zeroMid = zeroConv(root.at(middle), widths.at(-1) as number);
    return (params, noisy, t, source) => {
      const { x, residuals } = down(params, noisy, t, { hint: hintOut(params, silu(hintIn(params, source)) as Image) });
      return { downResiduals: residuals.map((residual, i) => (zeroConvs[i] as Layer<[Image], Image>)(params, residual)), midResidual: zeroMid(params, x) };
    };
  });
};

/** Whether a control network has learned anything yet: a boolean scalar, true once its middle zero convolution has moved. For `inherit`'s `unless`. */
export const hasControl = (params: Params): tf.Tensor => tf.greater(tf.sum(tf.abs(param(params, `${middle}.weight`))), 0);

type Steerable = Readonly<[noisy: Image, t: tf.Tensor1D, source: Image, control?: ControlResiduals]>;

/** A denoiser under control, as a network of its own. */
export const controlledBy = (denoiser: (...inputs: Steerable) => Image, control: Seeing<ControlResiduals>): Seeing<Image> => (noisy, t, source) => denoiser(noisy, t, source, control(noisy, t, source));

/** What `backward` is told to run to train a control network: the answer of the denoiser it steers, whose averaged weights stay as they are. */
export const answerUnder = (base: Net<[...Steerable], Image>) => (control: Seeing<ControlResiduals>, { noisy, t, sourceLatent }: Seen): Output =>
  ({ output: controlledBy(applyNet(base, 'shadow'), control)(noisy, t, sourceLatent) });
