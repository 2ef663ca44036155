import { type Observable, type OperatorFunction, concatMap, from, lastValueFrom, map, toArray } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { weighted } from '../../src/losses/objective.ts';
import { backward } from '../../src/operators/backward.ts';
import { sgd } from '../../src/optim/sgd.ts';
import type { Batch, Measured } from '../../src/streams/frames.ts';
import { free } from '../../src/streams/scoped.ts';
import * as tf from '../../src/tf.ts';
import { batchAt, leakFree, steps } from '../support.ts';
import { keepsTheContract } from './contract.ts';
import { type Line, type Point, halfMse, makeLine, point, readMetrics, valuesOf, withLine } from './line.ts';

type Out = Readonly<{ out: tf.Tensor1D }>;
const objective = weighted<Point & Out>({ error: [1, halfMse] });
const train = (line: Line, options: Parameters<typeof backward>[3] = {}, scored = objective): OperatorFunction<Point, Point & Out & Measured> =>
  backward<Point, [tf.Tensor1D], tf.Tensor1D, Out>(line, (net, { x }): Out => ({ out: net(x) }), scored, options);
const run = (source: Observable<Point>, operator: OperatorFunction<Point, Point & Out & Measured>): Promise<Record<string, number>[]> =>
  lastValueFrom(source.pipe(operator, concatMap(readMetrics), toArray()));
const rate = (lr: number) => ({ optimizer: sgd(), lr: () => lr });

describe('backward', () => {
  describe('as an operator', () => {
    let line: Line;
    beforeAll(() => { line = makeLine(rate(0)); });
    afterAll(() => { free({ line }); });
    keepsTheContract<Point, Point & Out & Measured>(() => train(line), point);
  });

  it('takes the step worked out by hand', leakFree(() => withLine(rate(0.1), async (line) => {
    // out = x, residuals (-2, -4): loss 20/4 = 5; d/dslope = (-2 - 8)/2 = -5; d/doffset = -3; norm = sqrt(34).
    const [metrics] = await run(from(steps(1)).pipe(map(point)), train(line));
    expect(metrics?.['line.loss']).toBeCloseTo(5, 6);
    expect(metrics?.['line.error']).toBeCloseTo(5, 6);
    expect(metrics?.['line.gradNorm']).toBeCloseTo(Math.sqrt(34), 5);
    expect(metrics?.['line.finite']).toBe(1);
    const [slope, offset] = await valuesOf(line.weights);
    expect(slope).toBeCloseTo(1.5, 6);
    expect(offset).toBeCloseTo(0.3, 6);
    expect(await valuesOf(line.count)).toEqual([1]);
  })));

  it('adds what was predicted before the update, as a constant', leakFree(() => withLine(rate(0.1), async (line) => {
    let out: Promise<number[]> | undefined;
    await run(from(steps(1)).pipe(map(point)), (source) => source.pipe(train(line), map((frame) => { out = valuesOf(frame.out); return frame; })));
    expect(await out).toEqual([1, 2]);
  })));

  it('converges to the points', leakFree(() => withLine(rate(0.5), async (line) => {
    const losses = (await run(from(steps(100)).pipe(map(point)), train(line))).map((metrics) => metrics['line.loss'] as number);
    expect(losses.at(-1)).toBeLessThan(1e-4);
    const [slope, offset] = await valuesOf(line.weights);
    expect(slope).toBeCloseTo(3, 1);
    expect(offset).toBeCloseTo(0, 1);
  })));

  it('asks for the learning rate of the step', leakFree(() => withLine({ optimizer: sgd(), lr: (step) => (step === 7 ? 0.1 : 0) }, async (line) => {
    await run(from([batchAt(6)]).pipe(map(point)), train(line));
    expect(await valuesOf(line.weights)).toEqual([1, 0]);
    await run(from([batchAt(7)]).pipe(map(point)), train(line));
    expect((await valuesOf(line.weights))[0]).toBeCloseTo(1.5, 6);
  })));

  it('clips the global norm, and says what it was', leakFree(() => withLine(rate(1), async (line) => {
    const [metrics] = await run(from(steps(1)).pipe(map(point)), train(line, { clip: 1 }));
    expect(metrics?.['line.gradNorm']).toBeCloseTo(Math.sqrt(34), 5);
    const [slope, offset] = await valuesOf(line.weights);
    expect(slope).toBeCloseTo(1 + 5 / Math.sqrt(34), 5);
    expect(offset).toBeCloseTo(3 / Math.sqrt(34), 5);
  })));

  it('does not stretch a gradient that is short enough', leakFree(() => withLine(rate(0.1), async (line) => {
    await run(from(steps(1)).pipe(map(point)), train(line, { clip: 100 }));
    expect((await valuesOf(line.weights))[0]).toBeCloseTo(1.5, 6);
  })));

  it.each([
    ['a loss', (frame: Point & Out) => tf.mul(halfMse(frame), Infinity) as tf.Scalar],
    ['a loss that is no number', (frame: Point & Out) => tf.mul(halfMse(frame), NaN) as tf.Scalar],
    // The square root has an infinite slope at 0 and a finite value.
    ['a gradient', ({ out }: Point & Out) => tf.sum(tf.sqrt(tf.mul(out, 0))) as tf.Scalar],
  ])('drops the update for %s that is not finite: weights, slots and count stay', (_what, term) => leakFree(() => withLine({ optimizer: sgd({ momentum: 0.9 }), lr: () => 0.1 }, async (line) => {
    await run(from(steps(1)).pipe(map(point)), train(line));
    const before = [await valuesOf(line.weights), await valuesOf(line.slots['momentumBuffer'] as tf.Tensor), await valuesOf(line.count)];
    const [metrics] = await run(from([batchAt(1)]).pipe(map(point)), train(line, {}, weighted<Point & Out>({ bad: [1, term] })));
    expect(metrics?.['line.finite']).toBe(0);
    expect([await valuesOf(line.weights), await valuesOf(line.slots['momentumBuffer'] as tf.Tensor), await valuesOf(line.count)]).toEqual(before);
    expect(before[2]).toEqual([1]);
    await run(from([batchAt(2)]).pipe(map(point)), train(line));
    expect(await valuesOf(line.count)).toEqual([2]);
  }))());

  it('trains what is trainable and leaves the rest', leakFree(() => withLine({ ...rate(0.1), trainable: (name) => name === 'offset' }, async (line) => {
    await run(from(steps(1)).pipe(map(point)), train(line));
    expect((await valuesOf(line.weights))[0]).toBeCloseTo(0.3, 6);
    expect(await valuesOf(line.frozen as tf.Tensor)).toEqual([1]);
  })));

  it('keeps the metrics of operators before it', leakFree(() => withLine(rate(0), async (line) => {
    const earlier = (batch: Batch): Point & Measured => ({ ...point(batch), metrics: { 'critic.loss': tf.scalar(7) } });
    const [metrics] = await run(from(steps(1)).pipe(map(earlier)), train(line));
    expect(Object.keys(metrics ?? {})).toEqual(['critic.loss', 'line.loss', 'line.error', 'line.gradNorm', 'line.finite']);
    expect(metrics?.['critic.loss']).toBe(7);
  })));

  it('moves at the last step of an accumulation, by the mean gradient', leakFree(() => withLine({ ...rate(0.1), accumulate: 2 }, async (line) => {
    const zero = (batch: Batch): Point => ({ ...batch, x: tf.tensor1d([1, 2]), y: tf.tensor1d([1, 2]) });
    await run(from([batchAt(0)]).pipe(map(point)), train(line));
    expect(await valuesOf(line.weights)).toEqual([1, 0]);
    // The second step has no error: the mean gradient is half of (-5, -3).
    await run(from([batchAt(1)]).pipe(map(zero)), train(line));
    const [slope, offset] = await valuesOf(line.weights);
    expect(slope).toBeCloseTo(1.25, 6);
    expect(offset).toBeCloseTo(0.15, 6);
    expect(await valuesOf(line.count)).toEqual([1]);
  })));

  it('refuses a network without optimizer, and a bound that is not positive', leakFree(async () => {
    await withLine({}, async (line) => { expect(() => train(line)).toThrow('backward: expected line to have an optimizer but it has none'); });
    await withLine(rate(0), async (line) => { for (const clip of [0, -1, NaN]) expect(() => train(line, { clip })).toThrow(RangeError); });
  }));
});
