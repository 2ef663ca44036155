import { firstValueFrom, of, toArray } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { zeros } from '../../src/models/init.ts';
import { makeNet } from '../../src/models/net.ts';
import { buildNetwork, param } from '../../src/models/network.ts';
import { backward } from '../../src/operators/backward.ts';
import { adam } from '../../src/optim/adam.ts';
import { sgd } from '../../src/optim/sgd.ts';
import { updateNet } from '../../src/optim/update.ts';
import { seeded } from '../../src/random.ts';
import { free } from '../../src/streams/scoped.ts';
import * as tf from '../../src/tf.ts';
import { batchAt, leakFree } from '../support.ts';

const offset = buildNetwork('offset', {}, (root) => {
  const bias = root.param('bias', [2], zeros);
  return (params, x: tf.Tensor) => tf.add(x, param(params, bias));
});

/** Weights and count after each gradient; the loss is infinite where `spoiled` says. */
const path = async (net: ReturnType<typeof makeNet<[tf.Tensor], tf.Tensor>>, gradients: readonly [number, number][], { spoiled = [] as number[], clip }: { spoiled?: number[]; clip?: number } = {}): Promise<number[][]> => {
  const out: number[][] = [];
  for (const [step, gradient] of gradients.entries()) {
    tf.tidy(() => { updateNet(net, tf.tensor1d(gradient), { loss: tf.scalar(spoiled.includes(step) ? Infinity : 1), step, clip }); });
    out.push([...await net.weights.data(), ...await net.count.data()]);
  }
  return out;
};
const close = (a: readonly number[][], b: readonly number[][]): void => { a.forEach((row, i) => row.forEach((x, j) => { expect(x).toBeCloseTo(b[i]![j]!, 5); })); };

describe('updateNet', () => {
  it('moves at every k-th step by the mean gradient, at the rate of its update', leakFree(async () => {
    const net = makeNet(offset, { key: seeded(1), optimizer: sgd(), lr: (update) => [1, 10][update] as number, accumulate: 2 });
    close(await path(net, [[1, 0], [3, 2], [0.1, 0.1], [0.1, 0.3]]), [[0, 0, 0], [-2, -1, 1], [-2, -1, 1], [-3, -3, 2]]);
    free({ net });
  }));

  it('equals one step on the mean gradient, clipped by its norm, under Adam', leakFree(async () => {
    const options = { key: seeded(1), optimizer: adam(), lr: () => 0.1 };
    const [net, whole] = [makeNet(offset, { ...options, accumulate: 3 }), makeNet(offset, options)] as const;
    const gradients: [number, number][] = [[9, 0], [0, 9], [0, 3], [1, 1], [-1, 0], [3, 2]];
    const accumulated = await path(net, gradients, { clip: 1 });
    const single = await path(whole, [[3, 4], [1, 1]], { clip: 1 });
    close([accumulated[2]!, accumulated[5]!], single);
    free({ net, whole });
  }));

  it('drops the whole update when one of its losses or gradients is not finite, and recovers', leakFree(async () => {
    const net = makeNet(offset, { key: seeded(1), optimizer: sgd(), lr: () => 1, accumulate: 2 });
    close(await path(net, [[1, 1], [1, 1], [NaN, 0], [1, 1], [1, 1], [1, 1], [1, 1], [1, 1]], { spoiled: [4] }).then((rows) => rows.filter((_, i) => i % 2 === 1)), [[-1, -1, 1], [-1, -1, 1], [-1, -1, 1], [-2, -2, 2]]);
    free({ net });
  }));

  it('keeps its accumulator among the variables, so that a resumed run continues in the middle', () => {
    const net = makeNet(offset, { key: seeded(1), optimizer: sgd(), accumulate: 2 });
    expect(Object.keys(net.variables)).toContain('accumulator');
    free({ net });
    expect(() => makeNet(offset, { key: seeded(1), accumulate: 1.5 })).toThrow('makeNet: expected accumulate to be a positive integer but received 1.5');
  });

  it('is what backward does to a frame', leakFree(async () => {
    const net = makeNet(offset, { key: seeded(1), optimizer: sgd(), lr: () => 1, accumulate: 2 });
    const frames = [0, 1].map((step) => ({ ...batchAt(step), x: tf.tensor1d([1 + step, 0]) }));
    const done = await firstValueFrom(of(...frames).pipe(
      backward(net, (apply, { x }) => ({ y: apply(x) }), ({ y }) => ({ loss: tf.div(tf.sum(tf.square(y)), 2), terms: {} })), toArray()));
    expect([...await net.weights.data()]).toEqual([-1.5, 0]);
    tf.dispose(done as unknown as tf.TensorContainer);
    free({ net });
  }));
});
