import { type OperatorFunction, concatMap, from, lastValueFrom, map } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { forward } from '../../src/operators/forward.ts';
import { sgd } from '../../src/optim/sgd.ts';
import { release } from '../../src/streams/mapTensors.ts';
import { free } from '../../src/streams/scoped.ts';
import * as tf from '../../src/tf.ts';
import { leakFree, steps } from '../support.ts';
import { keepsTheContract } from './contract.ts';
import { type Line, type Point, makeLine, point, valuesOf, withLine } from './line.ts';

type Out = Readonly<{ out: tf.Tensor1D }>;
const predict = (net: (x: tf.Tensor1D) => tf.Tensor1D, { x }: Point): Out => ({ out: net(x) });
const outOf = (operator: OperatorFunction<Point, Point & Out>): Promise<number[]> =>
  lastValueFrom(from(steps(1)).pipe(map(point), operator, concatMap(async (frame) => { const out = await valuesOf(frame.out); release(frame); return out; })));

describe('forward', () => {
  describe('as an operator', () => {
    let line: Line;
    beforeAll(() => { line = makeLine(); });
    afterAll(() => { free({ line }); });
    keepsTheContract<Point, Point & Out>(() => forward(line, predict), point);
  });

  it('runs the weights as they are now', leakFree(() => withLine({ optimizer: sgd(), shadow: true }, async (line) => {
    const operator = forward(line, predict);
    expect(await outOf(operator)).toEqual([1, 2]);
    tf.tidy(() => { line.weights.assign(tf.tensor1d([2, 1])); });
    expect(await outOf(operator)).toEqual([3, 5]);
  })));

  it('runs the average on request', leakFree(() => withLine({ optimizer: sgd(), shadow: true }, async (line) => {
    tf.tidy(() => { line.weights.assign(tf.tensor1d([9, 9])); });
    expect(await outOf(forward(line, predict, 'shadow'))).toEqual([1, 2]);
  })));

  it('runs the weights where there is no average', leakFree(() => withLine({}, async (line) => {
    expect(await outOf(forward(line, predict, 'shadow'))).toEqual([1, 2]);
  })));
});
