import * as tf from '../../tf.ts';
import type { Layer, Scope } from '../network.ts';
import { gelu, geluTanh, linear, silu } from '../nn.ts';

/** Activations of a feed-forward layer, by diffusers' names; the gated ones project to twice the width. */
export const feedForwardActivations = ['gelu', 'gelu-approximate', 'geglu', 'geglu-approximate', 'swiglu', 'linear-silu'] as const;
export type FeedForwardActivation = (typeof feedForwardActivations)[number];

const gated = (x: tf.Tensor, f: (gate: tf.Tensor) => tf.Tensor): tf.Tensor => {
  const [value, gate] = tf.split(x, 2, x.rank - 1) as [tf.Tensor, tf.Tensor];
  return tf.mul(value, f(gate));
};

const activate: Readonly<Record<FeedForwardActivation, (x: tf.Tensor) => tf.Tensor>> = {
  gelu, 'gelu-approximate': geluTanh, geglu: (x) => gated(x, gelu), 'geglu-approximate': (x) => tf.mul(x, tf.sigmoid(tf.mul(x, 1.702))), swiglu: (x) => gated(x, silu), 'linear-silu': silu,
};

/** Two linear layers, `net.0.proj` and `net.2`, four times as wide between. @source diffusers `FeedForward` */
export const feedForward = (scope: Scope, { channels, activation }: { channels: number; activation: FeedForwardActivation }): Layer<[tf.Tensor], tf.Tensor> => {
  const inner = channels * 4;
  const doubled = activation === 'geglu' || activation === 'swiglu';
  const project = linear(scope.at('net.0.proj'), { from: channels, to: doubled ? inner * 2 : inner });
  const out = linear(scope.at('net.2'), { from: inner, to: channels });
  return scope.tapped((params, x) => out(params, activate[activation](project(params, x))));
};
