import * as tf from '../tf.ts';
import { type Net, flatten, named, unflatten } from './net.ts';
import { type Params, type Running, param, running } from './network.ts';
import { gradientsOf } from './tape.ts';

/**
 * A loss of a network's predictions and its gradient with respect to the trained weights. The network runs in training mode: its layers may write new running
 * statistics, which `keepBuffers` assigns. Call inside a tidy.
 * @param net its weights are not changed
 * @param f runs the network through `apply`; returns the loss and by-products. `params` are the leaves by name
 * @returns gradient float32 [N] in the layout of `net.weights`; `keepBuffers(ok)` assigns what layers wrote to their buffers where the scalar `ok` is true
 */
export const differentiate = <I extends readonly unknown[], O, E>(net: Net<I, O>, f: (apply: (...inputs: I) => O, params: Params) => Readonly<{ loss: tf.Scalar; extra: E }>):
Readonly<{ loss: tf.Scalar; gradient: tf.Tensor1D; extra: E; keepBuffers: (ok: tf.Scalar) => void }> => {
  const leaves = unflatten(net.weights, net.layout);
  const kept = net.frozen ? unflatten(net.frozen, net.frozenLayout) : [];
  const constants = named(net.frozenLayout, kept);
  const held: tf.Tensor[] = [];
  const runningOver = (written: Record<string, tf.Tensor>): Running => ({
    read: (name) => written[name] ?? param(constants, name),
    // Kept, since a layer may run inside an inner gradient, which frees what it made.
    write: (name, value) => { held.push(written[name] = tf.keep(tf.clone(value))); },
  });
  try {
    const { loss, grads, extra: { extra, written } } = gradientsOf(leaves, () => {
      const written: Record<string, tf.Tensor> = {};
      const params = { ...constants, ...named(net.layout, leaves), [running]: runningOver(written) };
      const { loss, extra } = f((...inputs) => net.network.apply(params, ...inputs), params);
      return { loss, extra: { extra, written } };
    });
    const keepBuffers = (ok: tf.Scalar): void => {
      const { frozen } = net;
      if (!frozen || Object.keys(written).length === 0) return;
      const next = flatten(net.frozenLayout.map(({ name }, i) => written[name] ?? (kept[i] as tf.Tensor)));
      frozen.assign(tf.where(ok, next, frozen));
    };
    return { loss, gradient: flatten(grads), extra, keepBuffers };
  } finally {
    tf.dispose(held);
  }
};
