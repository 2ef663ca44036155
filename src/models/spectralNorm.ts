import * as tf from '../tf.ts';
import { type Init, torchBias, torchDefault } from './init.ts';
import { type Layer, type Params, type Scope, param, running, sizeOf } from './network.ts';
import { type Padding, convolve } from './nn.ts';
import { constantOf } from './tape.ts';
import { normal } from '../random.ts';

/** A random direction of length 1. */
const direction: Init = (key, shape) => {
  const x = normal(key, sizeOf(shape));
  const length = Math.hypot(...x);
  return x.map((value) => value / length);
};

const unit = (x: tf.Tensor, eps: number): tf.Tensor => tf.div(x, tf.maximum(tf.norm(x), eps));

/**
 * A weight divided by its largest singular value, as `torch.nn.utils.spectral_norm` keeps it: parameter `weight_orig`, buffers `weight_u` [out] and
 * `weight_v` [rest]. While its network trains, each use makes power iterations v = W^T u / |.|, u = W v / |.|; sigma = u^T W v. Gradients flow through
 * sigma, not through u and v. Other uses take the stored u and v.
 * @param shape PyTorch layout, first axis the outputs; W is the weight as [out, rest]
 * @source Miyato et al. 2018, arXiv 1802.05957, algorithm 1
 */
export const spectralWeight = (scope: Scope, shape: readonly number[], { init = torchDefault, iterations = 1, eps = 1e-12 }: { init?: Init; iterations?: number; eps?: number } = {}): ((params: Params) => tf.Tensor) => {
  const [out, rest] = [shape[0] as number, sizeOf(shape.slice(1))];
  const weight = scope.param('weight_orig', shape, init);
  const uName = scope.param('weight_u', [out], direction, { buffer: true });
  const vName = scope.param('weight_v', [rest], direction, { buffer: true });
  return (params) => {
    const state = params[running];
    const matrix = tf.reshape(param(params, weight), [out, rest]) as tf.Tensor2D;
    let [u, v] = [(state?.read(uName) ?? param(params, uName)), (state?.read(vName) ?? param(params, vName))];
    if (state) {
      for (let i = 0; i < iterations; i++) {
        const left = u;
        const right = v = constantOf(() => unit(tf.reshape(tf.matMul(tf.reshape(left, [1, out]), matrix), [rest]), eps));
        u = constantOf(() => unit(tf.reshape(tf.matMul(matrix, tf.reshape(right, [rest, 1])), [out]), eps));
      }
      state.write(uName, u);
      state.write(vName, v);
    }
    const sigma = tf.sum(tf.mul(u, tf.reshape(tf.matMul(matrix, tf.reshape(v, [rest, 1])), [out])));
    return tf.div(param(params, weight), sigma);
  };
};

/** `conv2d` of nn.ts under spectral normalisation. */
export const spectralConv2d = (scope: Scope, { from, to, kernel = 3, stride = 1, padding = 0, bias = true, init = torchDefault, biasInit, iterations, eps }: {
  from: number; to: number; kernel?: number; stride?: number; padding?: Padding; bias?: boolean; init?: Init; biasInit?: Init; iterations?: number; eps?: number;
}): Layer<[tf.Tensor4D], tf.Tensor4D> => {
  const weight = spectralWeight(scope, [to, from, kernel, kernel], { init, ...(iterations !== undefined && { iterations }), ...(eps !== undefined && { eps }) });
  const offset = bias ? scope.param('bias', [to], biasInit ?? torchBias(from * kernel * kernel)) : undefined;
  return scope.tapped((params, x) => {
    const y = convolve(x, weight(params) as tf.Tensor4D, { stride, padding });
    return offset === undefined ? y : tf.add(y, param(params, offset));
  });
};

