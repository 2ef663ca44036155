import { type Observable, from, lastValueFrom, map, of, tap, toArray } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NonFiniteLossError } from '../../src/errors.ts';
import { undoDivergence, divergenceControl } from '../../src/operators/undoDivergence.ts';
import { creditGate } from '../../src/streams/creditGate.ts';
import type { Settled } from '../../src/streams/frames.ts';
import { OperatorError } from '../../src/streams/mapTensors.ts';
import * as tf from '../../src/tf.ts';
import { batchAt, leakFree, marbles } from '../support.ts';
import { letsPass, settled } from './plain.ts';

const rules = { loss: 'net.l2', smoothing: 0, tolerance: 2, patience: 2, warmUp: 1, every: 2, most: 1 };
const made = () => {
  const [weights, slot] = [0, 0].map((value) => tf.tidy(() => tf.variable(tf.tensor1d([value]))) as tf.Variable) as [tf.Variable, tf.Variable];
  const net = { variables: { weights, slot } };
  return { net, control: divergenceControl({ net }) };
};
type Made = ReturnType<typeof made>;
const discard = ({ net, control }: Made): void => { tf.dispose(Object.values({ ...net.variables, ...control.variables }) as tf.Tensor[]); };
/** A run whose weights are the number of the step, one step at a time as a gate lets them through. */
const run = ({ net, control }: Made, losses: readonly number[], { start = 0, say = (() => {}) as (line: string) => void } = {}): Observable<Settled> => {
  const gate = creditGate(1);
  return gate.pull(losses.map((loss, i) => ({ ...batchAt(start + i), metrics: { 'net.l2': loss } }))).pipe(
    gate.inTurn(),
    tap(({ step }) => { tf.tidy(() => { net.variables.weights.assign(tf.tensor1d([step])); net.variables.slot.assign(tf.tensor1d([-step])); }); }),
    undoDivergence(control, { ...rules, say }),
    gate.settle());
};
const valuesOf = async ({ net }: Made): Promise<number[]> => [...await net.variables.weights.data(), ...await net.variables.slot.data()];

describe('undoDivergence', () => {
  describe('as an operator', () => {
    let one: Made;
    beforeAll(() => { one = made(); });
    afterAll(() => { discard(one); });
    const fresh = [0, Infinity, 0, 0, 0, 1];
    const options = { ...rules, loss: 'generator.loss' };
    letsPass(() => undoDivergence(one.control, { ...options, read: () => of(fresh) }));

    it('asks once what was remembered, with the first frame, and waits for it', leakFree(marbles(({ cold, expectObservable, expectSubscriptions }) => {
      const memory = cold('--(m|)', { m: fresh });
      const source = cold('-ab-----c-|', { a: settled(0), b: settled(1), c: settled(2) });
      expectObservable(source.pipe(undoDivergence(one.control, { ...options, read: () => memory }), map(({ step }) => `${step}`))).toBe('---(01)-2-|');
      expectSubscriptions(memory.subscriptions).toBe('-^-!');
    })));

    it('names itself, the step and the images when it cannot read, or finds no loss', leakFree(marbles(({ cold, expectObservable }) => {
      const source = (): Observable<Settled> => cold('-a-|', { a: settled(4) });
      expectObservable(source().pipe(undoDivergence(one.control, { ...options, read: () => cold('-#', {}, new Error('gone')) }))).toBe('--#', {}, new OperatorError('undoDivergence', settled(4), new Error('gone')));
      expectObservable(source().pipe(undoDivergence(one.control, { ...options, loss: 'net.l2', read: () => of(fresh) })))
        .toBe('-#', {}, new OperatorError('undoDivergence', settled(4), new TypeError('expected a metric net.l2 but received generator.loss, generator.gradNorm, generator.finite')));
    })));

    it('drops what it reads on early unsubscription', leakFree(marbles(({ cold, expectObservable, expectSubscriptions }) => {
      const [source, memory] = [cold('-a---|', { a: settled(0) }), cold<number[]>('-----')];
      expectObservable(source.pipe(undoDivergence(one.control, { ...options, read: () => memory })), '^--!').toBe('---');
      expectSubscriptions(source.subscriptions).toBe('^--!');
      expectSubscriptions(memory.subscriptions).toBe('-^-!');
    })));
  });

  it('puts the nets back to the last good step and lowers the weight, saying so', leakFree(async () => {
    const one = made();
    const said: string[] = [];
    // Step 3 (the fourth) is kept; steps 4 and 5 are beyond tolerance.
    const frames = await lastValueFrom(run(one, [1, 1, 1, 1, 5, 5], { say: (line) => { said.push(line); } }).pipe(toArray()));
    expect(frames.map(({ metrics }) => metrics['adversarialWeight'])).toEqual([1, 1, 1, 1, 1, 0.5]);
    expect(await valuesOf(one)).toEqual([3, -3]);
    expect([...await one.control.weight.data()]).toEqual([0.5]);
    expect(said).toEqual(['step 5: net.l2 has been above 2 times its best (1.00) for 2 steps; back to the last good weights, adversarial weight now 0.5']);
    discard(one);
  }));

  it('ends the run when going back has not helped', leakFree(async () => {
    const one = made();
    await expect(lastValueFrom(run(one, [1, 1, 5, 5, 5, 5, 5]))).rejects.toThrow(NonFiniteLossError);
    discard(one);
  }));

  it('continues from its variables as if it had not stopped', leakFree(async () => {
    const losses = [1, 1.5, 0.9, 1, 2.1, 1, 2.1, 2.2, 1, 1];
    const [whole, first, second] = [made(), made(), made()];
    const weights = await lastValueFrom(run(whole, losses).pipe(map(({ metrics }) => metrics['adversarialWeight']), toArray()));
    await lastValueFrom(run(first, losses.slice(0, 5)));
    for (const [name, variable] of Object.entries(second.control.variables)) variable.assign(first.control.variables[name]!);
    const later = await lastValueFrom(run(second, losses.slice(5), { start: 5 }).pipe(map(({ metrics }) => metrics['adversarialWeight']), toArray()));
    expect(later).toEqual(weights.slice(5));
    expect(weights.at(-1)).toBe(0.5);
    expect(await valuesOf(second)).toEqual(await valuesOf(whole));
    [whole, first, second].forEach(discard);
  }));

  it('passes ends and errors on, and is cut short', leakFree(async () => {
    const one = made();
    expect(await lastValueFrom(run(one, []).pipe(toArray()))).toEqual([]);
    let count = 0;
    const subscription = run(one, [1, 1, 1]).subscribe(() => { count++; });
    subscription.unsubscribe();
    await new Promise((resolve) => { setTimeout(resolve, 20); });
    expect(count).toBe(0);
    await expect(lastValueFrom(from([{ ...batchAt(0), metrics: { other: 1 } }]).pipe(undoDivergence(one.control, rules)))).rejects.toThrow('undoDivergence failed at step 0 on [image0]: expected a metric net.l2 but received other');
    expect(() => undoDivergence(one.control, { ...rules, every: 0 })).toThrow('divergence: expected every to be at least 1 but received 0');
    discard(one);
  }));
});
