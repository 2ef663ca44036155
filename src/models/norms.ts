/** Normalisations over the batch or over one image's channel. (Group and layer normalisation are in nn.ts.) */
import * as tf from '../tf.ts';
import { type Init, ones, zeros } from './init.ts';
import { type Layer, type Scope, param, running } from './network.ts';
import { standardise } from './nn.ts';

type Image = tf.Tensor4D;

/** `nn.InstanceNorm2d` without affine map: every image's every channel to zero mean and unit variance. */
export const instanceNorm = (scope: Scope, { eps = 1e-5 }: { eps?: number } = {}): Layer<[Image], Image> =>
  scope.tapped((_params, x) => standardise(x, [1, 2], eps) as Image);

/**
 * `nn.BatchNorm2d` on [B, H, W, C]. While its network trains it uses the statistics of its input (biased variance) and moves the running ones towards
 * them (unbiased variance): running = (1 - momentum) running + momentum batch. Elsewhere it uses the running ones.
 * @param options.evaluate `batch` never uses the running statistics: for critics, which their references leave in training mode throughout
 */
export const batchNorm = (scope: Scope, { channels, eps = 1e-5, momentum = 0.1, evaluate = 'running', init = ones }: {
  channels: number; eps?: number; momentum?: number; evaluate?: 'running' | 'batch'; init?: Init;
}): Layer<[Image], Image> => {
  const weight = scope.param('weight', [channels], init);
  const bias = scope.param('bias', [channels], zeros);
  const meanName = scope.param('running_mean', [channels], zeros, { buffer: true });
  const varianceName = scope.param('running_var', [channels], ones, { buffer: true });
  const countName = scope.param('num_batches_tracked', [], zeros, { buffer: true });
  return scope.tapped((params, x) => {
    const state = params[running];
    const own = state !== undefined || evaluate === 'batch';
    const mean = own ? tf.mean(x, [0, 1, 2]) : param(params, meanName);
    const centred = tf.sub(x, mean);
    const variance = own ? tf.mean(tf.square(centred), [0, 1, 2]) : param(params, varianceName);
    if (state) {
      const n = x.size / channels;
      const moved = (name: string, value: tf.Tensor): void => { state.write(name, tf.add(tf.mul(state.read(name), 1 - momentum), tf.mul(value, momentum))); };
      moved(meanName, mean);
      moved(varianceName, tf.mul(variance, n / Math.max(1, n - 1)));
      state.write(countName, tf.add(state.read(countName), 1));
    }
    return tf.add(tf.mul(tf.mul(centred, tf.rsqrt(tf.add(variance, eps))), param(params, weight)), param(params, bias)) as Image;
  });
};
