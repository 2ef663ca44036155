import { concat, firstValueFrom, from, lastValueFrom, map, of, toArray } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { NonFiniteLossError } from '../../src/errors.ts';
import { guard } from '../../src/operators/guard.ts';
import type { RunFolder } from '../../src/run/runFolder.ts';
import { readLog } from '../../src/run/runLog.ts';
import type { Settled } from '../../src/streams/frames.ts';
import { leakFree, marbles } from '../support.ts';
import { withRun } from '../run/support.ts';
import { type Work, letsPass, settled, waitsForWork } from './plain.ts';

const lines: string[] = [];
const context = (folder: RunFolder, start = 0) => ({ folder, start, seed: 7, report: { line: (text: string) => { lines.push(text); }, bar: () => {} } });
/** Steps whose update was finite (1) or not (0), in turn. */
const stepsOf = (finite: readonly number[], start: number) =>
  finite.map((value, i) => settled(start + i, value ? {} : { 'generator.loss': NaN, 'generator.gradNorm': Infinity, 'generator.finite': 0, 'critic.finite': 1 }));
const through = (folder: RunFolder, finite: readonly number[], { start = 0, limit = 3 } = {}) =>
  lastValueFrom(from(stepsOf(finite, start)).pipe(guard(context(folder, start), { limit }), map(({ step }) => step), toArray()));

describe('guard', () => {
  // With finite updates only, the folder is never touched.
  const idle = context({} as RunFolder);
  letsPass(() => guard(idle));

  describe('while a dropped step is written down', () => {
    const dropped = (step: number): Settled => settled(step, { 'generator.finite': 0 });
    const logOf = (work: Work, steps: readonly number[] = []) => ({ steps: () => of(steps), append: ({ step }: { step: number }) => concat(work(step), of(undefined)) });
    waitsForWork('guard', (work) => guard(idle, { limit: 100, log: logOf(work) }), { load: dropped });

    it('looks at the record once a run, and ends the run when the last of too many is written down', leakFree(marbles(({ cold, expectObservable, expectSubscriptions }) => {
      const record = cold('-(r|)', { r: [2, 3] });
      const log = { ...logOf(() => cold<never>('-|')), steps: () => record };
      const run = context({ dropped: { path: 'dropped.jsonl' } } as RunFolder, 4);
      const source = cold('a---b---c---d-|', { a: dropped(4), b: settled(5), c: dropped(6), d: dropped(7) });
      expectObservable(source.pipe(guard(run, { limit: 4, log }), map(({ step }) => `${step}`))).toBe('--4-5----6---7|');
      expectSubscriptions(record.subscriptions).toBe(['^!', '^!']);
      const words = 'the update of generator at step 4 was not finite and was dropped; its images: image4; that was 3 steps in a row, see dropped.jsonl';
      expectObservable(source.pipe(guard(run, { log }))).toBe('--#', {}, new NonFiniteLossError(4, words));
    })));
  });

  it('writes dropped steps down with their images and goes on', withRun(async (run) => {
    expect(await through(run, [1, 0, 0, 1, 0])).toEqual([0, 1, 2, 3, 4]);
    expect(await readLog(run.dropped.path)).toEqual([1, 2, 4].map((step) => (
      { step, epoch: 0, seed: 7, ids: [`image${step}`], nets: ['generator'], 'generator.loss': 'NaN', 'generator.gradNorm': 'Infinity' })));
    expect(lines.at(-1)).toBe('the update of generator at step 4 was not finite and was dropped; its images: image4');
  }));

  it('ends the run at three in a row', withRun(async (run) => {
    await expect(through(run, [0, 0, 1, 0, 0, 0, 1])).rejects.toMatchObject({ _tag: 'NonFiniteLossError', step: 5, message: expect.stringContaining('3 steps in a row') });
    expect((await readLog(run.dropped.path)).length).toBe(5);
  }));

  it('goes on counting where a run was broken off', withRun(async (run) => {
    await through(run, [1, 1, 0, 0]);
    await expect(through(run, [0], { start: 4 })).rejects.toMatchObject({ step: 4 });
    expect(await through(run, [1, 0], { start: 5 })).toEqual([5, 6]);
  }));

  it('counts each subscription by itself', withRun(async (run) => {
    const stream = from(stepsOf([0], 0)).pipe(guard(context(run), { limit: 2 }));
    await firstValueFrom(stream);
    await firstValueFrom(stream);
  }));

  it.each([0, -1, 1.5, NaN])('refuses a limit of %d', (limit) => {
    expect(() => guard(idle, { limit })).toThrow(`guard: expected limit to be a positive integer but received ${limit}`);
  });
});
