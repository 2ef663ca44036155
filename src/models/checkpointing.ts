/**
 * Gradient checkpointing: chosen modules keep only what goes into them, and are run again when their gradient is asked for. Memory for time: about one more
 * forward pass, and no activations inside the modules.
 * @source Chen et al. 2016, arXiv 1604.06174, sec. 4
 */
import * as tf from '../tf.ts';
import { type Around, type Layer, type Network, type Params, around, running } from './network.ts';
import { tensorsOf } from '../streams/mapTensors.ts';
import { gradientsOf } from './tape.ts';

/** The same arrays and records with tensors replaced, in the order in which `tensorsOf` finds them. */
const replaced = (value: unknown, next: () => tf.Tensor): unknown => {
  if (value instanceof tf.Tensor) return next();
  if (Array.isArray(value)) return value.map((item) => replaced(item, next));
  if (value !== null && typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype) {
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, replaced(item, next)]));
  }
  return value;
};

const queue = (tensors: readonly tf.Tensor[]): (() => tf.Tensor) => {
  let at = 0;
  return () => tensors[at++] as tf.Tensor;
};

/** x, but not before `after` is known, and not the same value to a compiler that shares equal computations: it adds 0 times one number of `after`. */
const heldBack = (x: tf.Tensor, after: tf.Tensor): tf.Tensor => (x.dtype === 'float32' ? tf.add(x, tf.mul(tf.slice(tf.reshape(after, [-1]), 0, 1).reshape([]), 0)) : x);

/** Takes a gradient while another is being computed: tfjs ends the tape of the first when the second is done. */
const withOwnTape = <T>(f: () => T): T => {
  const { state } = tf.engine();
  const { activeTape } = state;
  try {
    return f();
  } finally {
    state.activeTape = activeTape;
  }
};

const recompute = <I extends readonly unknown[], O>(path: string, layer: Layer<I, O>, params: Params, inputs: I): O => {
  const names = Object.keys(params).filter((name) => name.startsWith(`${path}.`));
  const given = tensorsOf(inputs);
  const buffers = params[running];
  const { [around]: _around, ...inside } = params;
  // What a layer writes to its buffers it writes once, in the first pass.
  const again = { ...inside, ...(buffers && { [running]: { ...buffers, write: () => {} } }) };
  const run = (base: object, tensors: readonly tf.Tensor[]): tf.Tensor => {
    const own = Object.fromEntries(names.map((name, i) => [name, tensors[given.length + i] as tf.Tensor]));
    const out = layer({ ...base, ...own } as Params, ...(replaced(inputs, queue(tensors)) as I));
    if (!(out instanceof tf.Tensor)) throw new TypeError(`checkpointed: expected ${path} to return one tensor`);
    return out;
  };
  const withGradient = tf.customGrad((...args) => {
    const save = args.pop() as unknown as tf.GradSaveFunc;
    const tensors = args as tf.Tensor[];
    save(tensors);
    return {
      value: run(inside, tensors),
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
        const leaves = saved.map((tensor, i) => (i < given.length ? heldBack(tensor, dy) : tensor));
        const { grads } = withOwnTape(() => gradientsOf(leaves, () => ({ loss: tf.sum(tf.mul(run(again, leaves), dy)) as tf.Scalar, extra: {} })));
        return grads.map((grad) => (grad.dtype === 'float32' ? grad : tf.cast(grad, 'float32')));
      },
    };
  });
  return withGradient(...given, ...names.map((name) => params[name] as tf.Tensor)) as O;
};

/**
 * The network with chosen modules recomputed in the backward pass. The result is the same; it matters only where gradients are taken.
 * @param modules expressions of module paths; by default the residual blocks and transformer blocks of the diffusers networks. A chosen module must return
 *   one tensor. Modules inside a chosen one are recomputed with it.
 */
export const checkpointed = <I extends readonly unknown[], O>(network: Network<I, O>, modules: readonly RegExp[] = [/\bresnets\.\d+$/, /\btransformer_blocks\.\d+$/]): Network<I, O> => {
  const choose: Around = (path, layer, params, inputs) => (modules.some((module) => module.test(path)) ? recompute(path, layer, params, inputs) : layer(params, ...inputs));
  return { ...network, apply: (params, ...inputs) => network.apply({ ...params, [around]: choose }, ...inputs) };
};
