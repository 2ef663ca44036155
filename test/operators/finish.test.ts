import { EMPTY, Subject, concat, firstValueFrom, from, lastValueFrom, map, of, throwError, toArray } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { finish } from '../../src/operators/finish.ts';
import { OperatorError } from '../../src/streams/mapTensors.ts';
import { leakFree, marbles } from '../support.ts';
import { letsPass, settled } from './plain.ts';

describe('finish', () => {
  letsPass(() => finish(() => EMPTY));

  it('ends when its task has, which begins with the end of the source', leakFree(marbles(({ cold, expectObservable, expectSubscriptions }) => {
    const [source, task] = [cold('-a-b-|', { a: settled(0), b: settled(1) }), cold('--x-|')];
    expectObservable(source.pipe(finish(() => task), map(({ step }) => step))).toBe('-a-b-----|', { a: 0, b: 1 });
    expectSubscriptions(source.subscriptions).toBe('^----!');
    expectSubscriptions(task.subscriptions).toBe('-----^---!');
  })));

  it('drops its task when it is unsubscribed', leakFree(marbles(({ cold, expectObservable, expectSubscriptions }) => {
    const task = cold('--x-|');
    expectObservable(cold('-a-|', { a: settled(0) }).pipe(finish(() => task), map(({ step }) => step)), '^----!').toBe('-a----', { a: 0 });
    expectSubscriptions(task.subscriptions).toBe('---^-!');
  })));

  it('names itself, the last step and its images when its task fails, at once or later', leakFree(marbles(({ cold, expectObservable }) => {
    const failure = new OperatorError('finish', settled(1), new Error('no'));
    const source = () => cold('-a-b-|', { a: settled(0), b: settled(1) });
    expectObservable(source().pipe(finish(() => cold('-#', {}, new Error('no'))), map(({ step }) => step))).toBe('-a-b--#', { a: 0, b: 1 }, failure);
    expectObservable(source().pipe(finish(() => { throw new Error('no'); }), map(({ step }) => step))).toBe('-a-b-#', { a: 0, b: 1 }, failure);
  })));

  /** Tasks that were begun, by their last step. */
  const noting = () => {
    const steps: number[] = [];
    return { steps, operator: finish<ReturnType<typeof settled>>(async ({ step }) => { await Promise.resolve(); steps.push(step); }) };
  };

  it('does its task after the last frame, before the end', async () => {
    const { steps, operator } = noting();
    expect(await lastValueFrom(from([settled(0), settled(1)]).pipe(operator, toArray()))).toHaveLength(2);
    expect(steps).toEqual([1]);
  });

  it('does nothing without a frame, after a failure, or when it is unsubscribed', async () => {
    const { steps, operator } = noting();
    expect(await lastValueFrom(EMPTY.pipe(operator, toArray()))).toEqual([]);
    await expect(lastValueFrom(concat(of(settled(0)), throwError(() => new Error('boom'))).pipe(operator))).rejects.toThrow('boom');
    await firstValueFrom(concat(of(settled(0)), new Subject<never>()).pipe(operator));
    expect(steps).toEqual([]);
  });
});
