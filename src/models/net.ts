/**
 * A live network: its weights as one flat variable, what the optimizer keeps beside them, and an EMA shadow. Flat, because updates, clipping and EMA are
 * then a handful of operations however many layers there are; the forward pass sees named slices.
 */
import * as tf from '../tf.ts';
import { type Key, fold } from '../random.ts';
import type { LearningRate, Optimizer } from '../optim/optimizer.ts';
import { type Network, type Params, type ParamSpec, type Shape, sizeOf } from './network.ts';

/** Where each named tensor lies in a flat vector. */
export type FlatLayout = readonly Readonly<{ name: string; shape: Shape; offset: number; size: number }>[];

/** Values by state-dict name, row-major, in PyTorch layout: what a weights file holds. */
export type StateDict = Readonly<Record<string, Readonly<{
  shape: Shape;
  data: Float32Array;
  /** Writes the values to where they are wanted, for entries that would have to read them into an array of their own first. */
  readInto?: (target: Float32Array) => void;
}>>>;

export type Net<I extends readonly unknown[] = readonly never[], O = unknown> = Readonly<{
  name: string;
  network: Network<I, O>;
  /** Trained parameters: float32 [N]. */
  weights: tf.Variable<tf.Rank.R1>;
  layout: FlatLayout;
  /** Parameters that are not trained (frozen ones and running statistics): float32 [M]; absent when there are none. */
  frozen: tf.Variable<tf.Rank.R1> | undefined;
  frozenLayout: FlatLayout;
  /** The average that samples are drawn from; starts equal to `weights`. */
  shadow: tf.Variable<tf.Rank.R1> | undefined;
  optimizer: Optimizer | undefined;
  lr: LearningRate;
  slots: Readonly<Record<string, tf.Variable<tf.Rank.R1>>>;
  /** Steps whose gradients are averaged into one update. */
  accumulate: number;
  /** The gradients of the steps since the last update; absent when every step is an update. */
  accumulator: tf.Variable<tf.Rank.R1> | undefined;
  /** Updates made so far; counts inside the graph, since a dropped step does not count. */
  count: tf.Variable<tf.Rank.R0>;
  /** Every variable it owns, by a name that is stable from run to run: what a checkpoint saves. */
  variables: Readonly<Record<string, tf.Variable>>;
}>;

const layOut = (entries: readonly (readonly [string, ParamSpec])[]): FlatLayout => {
  let offset = 0;
  return entries.map(([name, { shape }]) => {
    const size = sizeOf(shape);
    const place = { name, shape, offset, size };
    offset += size;
    return place;
  });
};

const fill = (layout: FlatLayout, network: Pick<Network<never, unknown>, 'specs'>, key: Key, given: StateDict): Float32Array => {
  const flat = new Float32Array(layout.reduce((sum, { size }) => sum + size, 0));
  for (const { name, shape, offset, size } of layout) {
    const [spec, entry, target] = [network.specs.get(name) as ParamSpec, given[name], flat.subarray(offset, offset + size)];
    if (entry && sizeOf(entry.shape) !== size) throw new RangeError(`makeNet: expected ${name} [${shape.join(', ')}] but received [${entry.shape.join(', ')}]`);
    if (entry?.readInto) entry.readInto(target);
    else target.set(entry?.data ?? spec.init(fold(key, name), shape));
  }
  return flat;
};

/** Named views of a flat vector, as one split: [N] to tensors of the layout's shapes. Call inside a tidy. */
export const unflatten = (flat: tf.Tensor1D, layout: FlatLayout): tf.Tensor[] => {
  if (layout.length === 0) return [];
  const parts = layout.length === 1 ? [flat] : tf.split(flat, layout.map(({ size }) => size));
  return layout.map(({ shape }, i) => tf.reshape(parts[i] as tf.Tensor1D, [...shape]));
};

/** Tensors in the layout's order to one flat vector. */
export const flatten = (tensors: readonly tf.Tensor[]): tf.Tensor1D => tf.concat(tensors.map((t) => tf.reshape(t, [-1]) as tf.Tensor1D));

export const named = (layout: FlatLayout, tensors: readonly tf.Tensor[]): Params =>
  Object.fromEntries(layout.map(({ name }, i) => [name, tensors[i] as tf.Tensor]));

/**
 * Makes a network live. Its variables belong to the caller (see `scoped`).
 * @param key draws the parameters that `given` lacks
 * @param trainable which parameters the optimizer moves; all that are no buffers by default
 * @param shadow whether to keep an EMA
 * @param accumulate how many steps' gradients are averaged into one update
 * @throws RangeError when `accumulate` is not a positive integer
 */
export const makeNet = <I extends readonly unknown[], O>(network: Network<I, O>, { key, optimizer, lr = () => 0, trainable = () => true, given = {}, shadow = false, accumulate = 1 }: {
  key: Key; optimizer?: Optimizer; lr?: LearningRate; trainable?: (name: string) => boolean; given?: StateDict; shadow?: boolean; accumulate?: number;
}): Net<I, O> => {
  if (!Number.isInteger(accumulate) || accumulate < 1) throw new RangeError(`makeNet: expected accumulate to be a positive integer but received ${accumulate}`);
  const entries = [...network.specs];
  const moves = ([name, { buffer }]: readonly [string, ParamSpec]): boolean => optimizer !== undefined && !buffer && trainable(name);
  const layout = layOut(entries.filter(moves));
  const frozenLayout = layOut(entries.filter((entry) => !moves(entry)));
  const vector = (values: Float32Array): tf.Variable<tf.Rank.R1> => tf.tidy(() => tf.variable(tf.tensor1d(values), false)) as tf.Variable<tf.Rank.R1>;
  const initial = fill(layout, network, key, given);
  const weights = vector(initial);
  const frozen = frozenLayout.length > 0 ? vector(fill(frozenLayout, network, key, given)) : undefined;
  const ema = shadow ? vector(initial.slice()) : undefined;
  const slots = Object.fromEntries(Object.entries(optimizer?.slots ?? {}).map(([name, start]) => [name, vector(new Float32Array(initial.length).fill(start))]));
  const accumulator = accumulate > 1 ? vector(new Float32Array(initial.length)) : undefined;
  const count = tf.tidy(() => tf.variable(tf.scalar(0), false)) as tf.Variable<tf.Rank.R0>;
  const variables: Record<string, tf.Variable> = { weights, count, ...(frozen && { frozen }), ...(ema && { shadow: ema }), ...(accumulator && { accumulator }) };
  for (const [name, slot] of Object.entries(slots)) variables[`slots.${name}`] = slot;
  return { name: network.name, network, weights, layout, frozen, frozenLayout, shadow: ema, optimizer, lr, slots, accumulate, accumulator, count, variables };
};

/** All parameters by name, from the weights or (for samples) from the EMA. Call inside a tidy. */
export const paramsOf = <I extends readonly unknown[], O>(net: Net<I, O>, from: 'weights' | 'shadow' = 'weights'): Params => ({
  ...named(net.layout, unflatten((from === 'shadow' && net.shadow) || net.weights, net.layout)),
  ...(net.frozen && named(net.frozenLayout, unflatten(net.frozen, net.frozenLayout))),
});

/** The network applied with its present weights, as a constant of whatever tape is open. Call inside a tidy. */
export const applyNet = <I extends readonly unknown[], O>(net: Net<I, O>, from: 'weights' | 'shadow' = 'weights'): ((...inputs: I) => O) => {
  const params = paramsOf(net, from);
  return (...inputs) => net.network.apply(params, ...inputs);
};

/** The net with its frozen parameters as constants of the run, freed with it but not saved: for those that the run's configuration says where to find. */
export const withoutFrozen = <I extends readonly unknown[], O>(net: Net<I, O>): Net<I, O> & Readonly<{ constants: Readonly<Record<string, tf.Variable>> }> => {
  const { frozen, ...variables } = net.variables;
  return { ...net, variables, constants: frozen ? { frozen } : {} };
};

/** A net that is given, not trained: its weights are constants of the run, which frees them; checkpoints leave them out. */
export type GivenNet<I extends readonly unknown[], O> = Readonly<{ variables: Readonly<Record<string, never>>; constants: Readonly<Record<string, tf.Variable>>; net: Net<I, O> }>;

/**
 * Makes a network live with weights that never change.
 * @param state all of its parameters
 * @throws TypeError naming the first parameter that is missing or of another size
 */
export const givenNet = <I extends readonly unknown[], O>(network: Network<I, O>, state: StateDict): GivenNet<I, O> => {
  for (const [name, { shape }] of network.specs) {
    const have = state[name];
    if (!have || sizeOf(have.shape) !== sizeOf(shape)) throw new TypeError(`${network.name}: expected given weights ${name} [${shape.join(', ')}] but received ${have ? `[${have.shape.join(', ')}]` : 'none'}`);
  }
  const net = makeNet(network, { key: [0, 0], given: state });
  return { variables: {}, constants: net.variables, net };
};
