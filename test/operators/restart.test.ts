import { concatMap, from, lastValueFrom } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { backward } from '../../src/operators/backward.ts';
import { restart } from '../../src/operators/restart.ts';
import { adam } from '../../src/optim/adam.ts';
import { free } from '../../src/streams/scoped.ts';
import * as tf from '../../src/tf.ts';
import { batchAt, leakFree, steps } from '../support.ts';
import { keepsTheContract } from './contract.ts';
import { type Line, halfMse, makeLine, point, valuesOf, withLine } from './line.ts';

const trained = { optimizer: adam(), lr: () => 0.1, shadow: true, accumulate: 2 };
const train = (line: Line) => backward<ReturnType<typeof point>, [tf.Tensor1D], tf.Tensor1D, { out: tf.Tensor1D }>(line, (net, { x }) => ({ out: net(x) }), (frame) => ({ loss: halfMse(frame), terms: {} }));

describe('restart', () => {
  describe('as an operator', () => {
    let line: Line;
    beforeAll(() => { line = makeLine(trained); });
    afterAll(() => { free({ line }); });
    keepsTheContract(() => restart<ReturnType<typeof point>>(line, { at: 0 }), point, { readsTensors: false });
  });

  it('goes on from the averaged weights, with slots and count as at the start, at its step alone', leakFree(() => withLine(trained, async (line) => {
    for (const step of steps(3)) { for (const { metrics, out, x, y } of await lastValueFrom(from([step]).pipe(concatMap((batch) => from([point(batch)])), train(line), concatMap((frame) => Promise.resolve([frame]))))) tf.dispose([metrics, out, x, y]); }
    const read = async (): Promise<Record<string, number[]>> => Object.fromEntries(await Promise.all(Object.entries(line.variables).map(async ([name, variable]) => [name, await valuesOf(variable)] as const)));
    const before = await read();
    expect(before['weights']).not.toEqual(before['shadow']);
    expect(before['count']).toEqual([1]);
    await lastValueFrom(from([batchAt(6)]).pipe(restart(line, { at: 7 })));
    expect(await read()).toEqual(before);
    await lastValueFrom(from([batchAt(7)]).pipe(restart(line, { at: 7 })));
    expect(await read()).toEqual(Object.fromEntries(Object.entries(before).map(([name, values]) => [name, name === 'weights' || name === 'shadow' ? before['shadow'] : values.map(() => 0)])));
  })));

  it('refuses a network without an average', leakFree(() => withLine({ optimizer: adam() }, async (line) => {
    expect(() => restart(line, { at: 0 })).toThrow('restart: expected line to keep a shadow but it was made without one');
  })));
});
