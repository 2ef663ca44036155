import type * as tf from '../../tf.ts';
import type { Layer, Scope } from '../network.ts';

type Image = tf.Tensor4D;

/** Takes its place in the state dict and returns a layer. */
export type Module = (place: Scope) => Layer<[Image], Image>;

/** A layer without parameters; it still takes a position, as an activation does in `nn.Sequential`. */
export const plain = (f: (x: Image) => Image): Module => (place) => place.tapped((_params, x) => f(x));

/** `nn.Sequential`: modules at positions 0, 1, ..., one after the other. */
export const sequential = (scope: Scope, modules: readonly Module[]): Layer<[Image], Image> => {
  const layers = modules.map((module, position) => module(scope.at(position)));
  return scope.tapped((params, x) => layers.reduce((h, layer) => layer(params, h), x));
};
