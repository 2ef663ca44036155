import { concatMap, from, lastValueFrom } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { constant } from '../../src/models/init.ts';
import { type Net, makeNet } from '../../src/models/net.ts';
import { buildNetwork, param } from '../../src/models/network.ts';
import { inherit } from '../../src/operators/inherit.ts';
import { sgd } from '../../src/optim/sgd.ts';
import { seeded } from '../../src/random.ts';
import { free } from '../../src/streams/scoped.ts';
import * as tf from '../../src/tf.ts';
import { leakFree, steps } from '../support.ts';
import { keepsTheContract } from './contract.ts';
import { point, valuesOf } from './line.ts';

type Small = Net<[], tf.Tensor>;
/** A net of named vectors, all filled with one value. */
const small = (name: string, shapes: Readonly<Record<string, number>>, value: number, options: Partial<Parameters<typeof makeNet>[1]> = {}): Small => makeNet(buildNetwork<[], tf.Tensor>(name, {}, (root) => {
  const names = Object.entries(shapes).map(([key, size]) => root.param(key, [size], constant(value)));
  return (params) => param(params, names[0] as string);
}), { key: seeded(0), ...options });
const trained = { optimizer: sgd(), shadow: true };
/** `to` after a run of three steps, of which the second is the one. */
const after = async (nets: readonly [Small, Small], read: (to: Small) => tf.Tensor, options: Parameters<typeof inherit>[2] = { at: 1 }, count = 3): Promise<number[]> => {
  try {
    return await lastValueFrom(from(steps(count)).pipe(inherit(nets[0], nets[1], options), concatMap(() => valuesOf(read(nets[1])))));
  } finally { free({ from: nets[0], to: nets[1] }); }
};

describe('inherit', () => {
  describe('as an operator', () => {
    let nets: Record<'a' | 'b', Small>;
    beforeAll(() => { nets = { a: small('a', { w: 2 }, 1, trained), b: small('b', { w: 2 }, 2) }; });
    afterAll(() => { free(nets); });
    keepsTheContract(() => inherit<ReturnType<typeof point>>(nets.a, nets.b, { at: 0 }), point, { readsTensors: false });
  });

  it('takes what has the same name and shape, into weights and average alike', leakFree(async () => {
    const make = (): [Small, Small] => [small('base', { a: 2, b: 3, c: 1 }, 5, trained), small('copy', { b: 3, c: 2, d: 1 }, 0, trained)];
    expect(await after(make(), ({ weights }) => weights)).toEqual([5, 5, 5, 0, 0, 0]);
    expect(await after(make(), ({ shadow }) => shadow as tf.Tensor)).toEqual([5, 5, 5, 0, 0, 0]);
  }));

  it('takes the averaged weights, and gives them to a net that is not trained', leakFree(async () => {
    const student = small('student', { a: 2 }, 1, trained);
    tf.tidy(() => { student.shadow?.assign(tf.tensor1d([7, 8])); });
    expect(await after([student, small('teacher', { a: 2 }, 0)], ({ frozen }) => frozen as tf.Tensor)).toEqual([7, 8]);
  }));

  it('waits for its step', leakFree(async () => {
    expect(await after([small('base', { a: 1 }, 5, trained), small('copy', { a: 1 }, 0, trained)], ({ weights }) => weights, { at: 1 }, 1)).toEqual([0]);
  }));

  it('leaves a net as it is that is said to be trained', leakFree(async () => {
    const keeps = (value: number): Promise<number[]> => after([small('base', { a: 1 }, 5, trained), small('copy', { a: 1 }, value, trained)], ({ weights }) => weights, { at: 1, unless: (params) => tf.greater(tf.sum(params['a'] as tf.Tensor), 1) });
    expect(await keeps(0)).toEqual([5]);
    expect(await keeps(2)).toEqual([2]);
  }));

  it('refuses nets that share nothing', leakFree(() => {
    const nets = { a: small('a', { w: 2 }, 1, trained), b: small('b', { w: 3 }, 2) };
    expect(() => inherit(nets.a, nets.b, { at: 0 })).toThrow('inherit: expected b to have parameters of a but they share none');
    free(nets);
  }));
});
