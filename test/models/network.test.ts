import { describe, expect, it } from 'vitest';
import * as tf from '../../src/tf.ts';
import { ones, zeros } from '../../src/models/init.ts';
import { buildNetwork, countParams, param, sizeOf, tap } from '../../src/models/network.ts';

const pairOfScales = () => buildNetwork('scales', { k: 2 }, (root) => {
  const parts = [0, 1].map((i) => {
    const scope = root.at('parts').at(i);
    const weight = scope.param('weight', [2], ones);
    scope.param('running_mean', [2], zeros, { buffer: true });
    return scope.tapped((params, x: tf.Tensor) => tf.mul(x, param(params, weight)));
  });
  return (params, x: tf.Tensor) => parts.reduce((h, part) => part(params, h), x);
});

describe('buildNetwork', () => {
  it('registers full names with shapes and allocates nothing', () => {
    const before = tf.memory().numTensors;
    const { specs, config } = pairOfScales();
    expect([...specs.keys()]).toEqual(['parts.0.weight', 'parts.0.running_mean', 'parts.1.weight', 'parts.1.running_mean']);
    expect(specs.get('parts.1.weight')?.shape).toEqual([2]);
    expect(config).toEqual({ k: 2 });
    expect(tf.memory().numTensors).toBe(before);
  });

  it('counts trainable numbers only', () => { expect(countParams(pairOfScales())).toBe(4); });

  it('refuses a name that is taken and a size that is none', () => {
    expect(() => buildNetwork('x', {}, (root) => { root.param('w', [1], ones); root.param('w', [1], ones); return () => 0; })).toThrow('parameter w is registered twice');
    expect(() => buildNetwork('x', {}, (root) => { root.at('a').param('w', [0], ones); return () => 0; })).toThrow(/a\.w but received \[0\]/);
  });

  it('shows taps what each module returns, by its path', async () => {
    const seen: string[] = [];
    const two = tf.tensor1d([2, 3]);
    const { apply } = pairOfScales();
    const out = apply({ 'parts.0.weight': two, 'parts.1.weight': two, [tap]: (module) => { seen.push(module); } }, tf.tensor1d([1, 1]));
    expect(seen).toEqual(['parts.0', 'parts.1']);
    expect([...await out.data()]).toEqual([4, 9]);
    tf.dispose([two, out]);
  });

  it('names a parameter that is missing', () => { expect(() => pairOfScales().apply({}, tf.tensor1d([1, 1]))).toThrow('parameter parts.0.weight is missing'); });
  it('multiplies sizes', () => { expect([sizeOf([]), sizeOf([2, 3, 4])]).toEqual([1, 24]); });
});
