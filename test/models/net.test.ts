import { describe, expect, it } from 'vitest';
import * as tf from '../../src/tf.ts';
import { constant, gaussian, zeros } from '../../src/models/init.ts';
import { applyNet, flatten, givenNet, makeNet, paramsOf, unflatten } from '../../src/models/net.ts';
import { buildNetwork, param } from '../../src/models/network.ts';
import { gradientsOf } from '../../src/models/tape.ts';
import type { Optimizer } from '../../src/optim/optimizer.ts';
import { seeded } from '../../src/random.ts';
import { free } from '../../src/streams/scoped.ts';

const affine = buildNetwork('affine', {}, (root) => {
  const weight = root.param('weight', [2, 2], gaussian(1));
  const bias = root.param('bias', [2], constant(3));
  const mean = root.param('running_mean', [2], zeros, { buffer: true });
  return (params, x: tf.Tensor2D) => tf.sub(tf.add(tf.matMul(x, param<tf.Tensor2D>(params, weight), false, true), param(params, bias)), param(params, mean));
});
const keeping: Optimizer = { name: 'none', slots: { momentum: 0.5 }, update: (weights, _g, slots) => ({ weights, slots }) };
const freed = (net: { variables: Readonly<Record<string, tf.Variable>> }): void => { for (const variable of Object.values(net.variables)) variable.dispose(); };

describe('makeNet', () => {
  it('lays trained parameters out flat, buffers apart, and gives slots and shadow the same length', async () => {
    const before = tf.memory().numTensors;
    const net = makeNet(affine, { key: seeded(1), optimizer: keeping, shadow: true });
    expect(net.layout.map(({ name, offset, size }) => [name, offset, size])).toEqual([['weight', 0, 4], ['bias', 4, 2]]);
    expect(net.frozenLayout.map(({ name }) => name)).toEqual(['running_mean']);
    expect(Object.keys(net.variables).sort()).toEqual(['count', 'frozen', 'shadow', 'slots.momentum', 'weights']);
    expect([...await net.slots.momentum!.data()]).toEqual(new Array(6).fill(0.5));
    expect([...await net.shadow!.data()]).toEqual([...await net.weights.data()]);
    expect([...(await net.weights.data()).slice(4)]).toEqual([3, 3]);
    freed(net);
    expect(tf.memory().numTensors).toBe(before);
  });

  it('draws the same parameters for the same key, whatever else is in the network', async () => {
    const [a, b, c] = [1, 1, 2].map((seed) => makeNet(affine, { key: seeded(seed) })) as [ReturnType<typeof makeNet>, ReturnType<typeof makeNet>, ReturnType<typeof makeNet>];
    const values = await Promise.all([a, b, c].map(async (net) => [...await net.frozen!.data()]));
    expect(values[0]).toEqual(values[1]);
    expect(values[0]).not.toEqual(values[2]);
    [a, b, c].forEach(freed);
  });

  it('takes given values over drawn ones and freezes what is not trainable', async () => {
    const net = makeNet(affine, { key: seeded(1), optimizer: keeping, trainable: (name) => name === 'bias', given: { weight: { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) } } });
    expect(net.layout.map(({ name }) => name)).toEqual(['bias']);
    expect([...(await net.frozen!.data()).slice(0, 4)]).toEqual([1, 2, 3, 4]);
    const y = tf.tidy(() => applyNet(net)(tf.tensor2d([[1, 1]])));
    expect([...await y.data()]).toEqual([6, 10]);
    y.dispose();
    freed(net);
  });

  it('reads the shadow when asked to', async () => {
    const net = makeNet(affine, { key: seeded(1), optimizer: keeping, shadow: true });
    tf.tidy(() => net.shadow!.assign(tf.zerosLike(net.weights)));
    const bias = tf.tidy(() => tf.clone(paramsOf(net, 'shadow').bias!));
    expect([...await bias.data()]).toEqual([0, 0]);
    bias.dispose();
    freed(net);
  });

  it('flattens and unflattens to the same values', async () => {
    const net = makeNet(affine, { key: seeded(3), optimizer: keeping });
    const again = tf.tidy(() => flatten(unflatten(net.weights, net.layout)));
    expect([...await again.data()]).toEqual([...await net.weights.data()]);
    again.dispose();
    freed(net);
  });
});

describe('givenNet', () => {
  const state = { weight: { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) }, bias: { shape: [2], data: Float32Array.of(5, 6) }, running_mean: { shape: [2], data: Float32Array.of(0, 1) } };

  it('has no variables to save, and constants that go with it', async () => {
    const before = tf.memory().numTensors;
    const given = givenNet(affine, state);
    expect(given.variables).toEqual({});
    const y = tf.tidy(() => applyNet(given.net)(tf.tensor2d([[1, 1]])));
    expect([...await y.data()]).toEqual([8, 12]);
    y.dispose();
    free({ given });
    expect(tf.memory().numTensors).toBe(before);
  });

  it('names the first parameter that is missing or of another size', () => {
    expect(() => givenNet(affine, { weight: state.weight })).toThrow('affine: expected given weights bias [2] but received none');
    expect(() => givenNet(affine, { ...state, bias: state.weight })).toThrow('bias [2] but received [2, 2]');
  });
});

describe('gradientsOf', () => {
  it('returns loss, gradients and by-products, and zeros for a leaf that is not used', async () => {
    const before = tf.memory().numTensors;
    const out = tf.tidy(() => {
      const x = tf.tensor1d([1, 2, 3]);
      const unused = tf.tensor1d([5, 5]);
      const { loss, grads, extra } = gradientsOf([x, unused], () => {
        const squares = tf.square(x);
        return { loss: tf.sum(squares) as tf.Scalar, extra: { inner: [squares], tag: 'kept' } };
      });
      expect(extra.tag).toBe('kept');
      return { loss, dx: grads[0] as tf.Tensor, du: grads[1] as tf.Tensor, squares: extra.inner[0] as tf.Tensor };
    });
    expect([...await out.loss.data()]).toEqual([14]);
    expect([...await out.dx.data()]).toEqual([2, 4, 6]);
    expect([...await out.du.data()]).toEqual([0, 0]);
    expect([...await out.squares.data()]).toEqual([1, 4, 9]);
    tf.dispose(out);
    expect(tf.memory().numTensors).toBe(before);
  });

  it('leaks nothing when the function throws after making by-products', () => {
    const before = tf.memory().numTensors;
    expect(() => tf.tidy(() => {
      const x = tf.scalar(1);
      return gradientsOf([x], () => { throw new Error('no'); }).loss;
    })).toThrow('no');
    expect(tf.memory().numTensors).toBe(before);
  });
});
