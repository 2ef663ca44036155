import { EMPTY, Subject, concat, firstValueFrom, from, lastValueFrom, of, throwError, toArray } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { finish } from '../../src/operators/finish.ts';
import { settled } from './plain.ts';

describe('finish', () => {
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

  it('fails with its task', async () => {
    await expect(lastValueFrom(of(settled(0)).pipe(finish(() => Promise.reject(new Error('full disk')))))).rejects.toThrow('full disk');
  });
});
