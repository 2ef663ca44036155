/** Embeddings of timesteps and labels. */
import * as tf from '../../tf.ts';
import { expFloat32 } from '../../schedules/float32.ts';
import { gaussian } from '../init.ts';
import { type Layer, type Scope, param } from '../network.ts';
import { linear } from '../nn.ts';
import { type ActivationName, activation } from './activation.ts';

/**
 * Sinusoids of times: frequency k of `width / 2` is exp(-ln(maxPeriod) * k / (width / 2 - freqShift)).
 * @param t float32 [N], fractional or whole
 * @param options.cosFirst whether cosines come before sines
 * @returns float32 [N, width]; an odd width ends in a zero
 * @source Vaswani et al. 2017, arXiv 1706.03762, sec. 3.5; diffusers `get_timestep_embedding`
 */
export const sinusoids = (t: tf.Tensor, width: number, { cosFirst = true, freqShift = 0, scale = 1, maxPeriod = 10_000 }: {
  cosFirst?: boolean; freqShift?: number; scale?: number; maxPeriod?: number;
} = {}): tf.Tensor2D => {
  const half = Math.floor(width / 2);
  // In single precision throughout: times reach a thousand, which magnifies a last bit.
  const frequencies = Float32Array.from({ length: half }, (_, k) => expFloat32(Math.fround(Math.fround(-Math.log(maxPeriod)) * k) / (half - freqShift)));
  const phase = tf.mul(tf.mul(tf.reshape(t, [-1, 1]), tf.tensor2d(frequencies, [1, half])), scale);
  const waves = cosFirst ? [tf.cos(phase), tf.sin(phase)] : [tf.sin(phase), tf.cos(phase)];
  return tf.concat(width % 2 === 1 ? [...waves, tf.zeros([t.size, 1])] : waves, 1) as tf.Tensor2D;
};

/**
 * Sinusoids at drawn, fixed frequencies: `weight` [width / 2], a buffer.
 * @returns a layer of times [N] to [N, width]
 * @source Tancik et al. 2020, arXiv 2006.10739; diffusers `GaussianFourierProjection`
 */
export const gaussianFourier = (scope: Scope, { width, std, log, cosFirst }: { width: number; std: number; log: boolean; cosFirst: boolean }): Layer<[t: tf.Tensor], tf.Tensor2D> => {
  const weight = scope.param('weight', [width / 2], gaussian(std), { buffer: true });
  return scope.tapped((params, t) => {
    const phase = tf.mul(tf.mul(tf.reshape(log ? tf.log(t) : t, [-1, 1]), tf.reshape(param(params, weight), [1, -1])), 2 * Math.PI);
    return tf.concat(cosFirst ? [tf.cos(phase), tf.sin(phase)] : [tf.sin(phase), tf.cos(phase)], 1) as tf.Tensor2D;
  });
};

/** `nn.Embedding`: `weight` [rows, width]; a layer of int32 indices [N] to [N, width], as a product with one-hot rows, whose gradient every executor has. */
export const embeddingTable = (scope: Scope, { rows, width, std = 1 }: { rows: number; width: number; std?: number }): Layer<[index: tf.Tensor], tf.Tensor2D> => {
  const weight = scope.param('weight', [rows, width], gaussian(std));
  return scope.tapped((params, index) => tf.matMul(tf.oneHot(tf.cast(tf.reshape(index, [-1]), 'int32') as tf.Tensor1D, rows, 1, 0, 'float32') as tf.Tensor2D, param<tf.Tensor2D>(params, weight)));
};

/**
 * `TimestepEmbedding`: linear, activation, linear, and an activation at the end where asked for.
 * @param options.conditioned width of a further vector that is projected and added first (`cond_proj`), such as an embedded guidance scale
 */
export const timestepMlp = (scope: Scope, { from, to, act = 'silu', postAct = null, conditioned = null }: {
  from: number; to: number; act?: ActivationName; postAct?: ActivationName | null; conditioned?: number | null;
}): Layer<[embedding: tf.Tensor, condition?: tf.Tensor | undefined], tf.Tensor2D> => {
  const first = linear(scope.at('linear_1'), { from, to });
  const project = conditioned === null ? undefined : linear(scope.at('cond_proj'), { from: conditioned, to: from, bias: false });
  const second = linear(scope.at('linear_2'), { from: to, to });
  return scope.tapped((params, embedding, condition) => {
    if (condition && !project) throw new TypeError(`${scope.path}: a condition came, but the network has no cond_proj (time_cond_proj_dim)`);
    const x = condition && project ? tf.add(embedding, project(params, condition)) : embedding;
    const y = second(params, activation(act)(first(params, x)));
    return (postAct === null ? y : activation(postAct)(y)) as tf.Tensor2D;
  });
};
