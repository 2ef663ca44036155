import { readFile } from 'node:fs/promises';
import { EMPTY, type Observable, concat, from, lastValueFrom, map, throwError, toArray } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { report } from '../../src/operators/report.ts';
import type { RunFolder } from '../../src/run/runFolder.ts';
import type { Reporter } from '../../src/run/reporter.ts';
import { readLog } from '../../src/run/runLog.ts';
import type { GateStats } from '../../src/streams/creditGate.ts';
import type { Settled } from '../../src/streams/frames.ts';
import { OperatorError } from '../../src/streams/mapTensors.ts';
import { withRun } from '../run/support.ts';
import { leakFree, marbles } from '../support.ts';
import { letsPass, settled, waitsForWork } from './plain.ts';

const context = (folder: RunFolder, { start = 0, steps = 100 } = {}) => {
  const bars: string[] = [];
  return { folder, start, steps, bars, report: { line: () => {}, bar: (text: string) => { bars.push(text); } } };
};
/** Each look at the gate finds it half a second on; `start` seconds have passed before. */
const gateOf = (start = 0) => {
  let seconds = start;
  return { get stats(): GateStats { seconds += 0.25; return { credits: 2, inFlight: 1, maxInFlight: 2, settled: 0, seconds: { decode: seconds / 2, augment: 0, upload: 0, engine: seconds / 2, disk: 0 }, engineBusy: 0.5, bottleneck: 'decode' }; } };
};
const range = (from: number, to: number): Settled[] => Array.from({ length: to - from }, (_, i) => settled(from + i, { 'generator.l2': (from + i) / 3 }));

describe('report', () => {
  // The step it ends with was written by the session before, so that nothing is left to write.
  letsPass(() => report(context({} as RunFolder, { start: 2 }), gateOf(), { every: 50 }));

  describe('while a line is written', () => {
    const run = context({} as RunFolder);
    /** Logs that do the given work. */
    const logsOf = (write: (step: number) => Observable<never>, close: () => Observable<never> = () => EMPTY, isWritten = true) => (): Reporter => {
      let last = -1;
      return { see: ({ step }) => { last = step; }, write: () => write(last), isWritten: () => isWritten, close };
    };
    waitsForWork('report', (work) => report(run, gateOf(), { every: 1, logs: logsOf(work) }));

    it('ends when the last of the timing is written, and fails with it', leakFree(marbles(({ cold, expectObservable, expectSubscriptions }) => {
      const [close, broken] = [cold<never>('--|'), cold<never>('--#')];
      const source = (): Observable<Settled> => cold('-a-|', { a: settled(0) });
      const through = (end: Observable<never>) => source().pipe(report(run, gateOf(), { every: 50, logs: logsOf(() => EMPTY, () => end, false) }), map(({ step, logged }) => `${step} ${logged}`));
      expectObservable(through(close)).toBe('-a---|', { a: '0 false' });
      expectSubscriptions(close.subscriptions).toBe('---^-!');
      expectObservable(through(broken)).toBe('-a---#', { a: '0 false' });
    })));

    it('names itself when it cannot count a step', leakFree(marbles(({ cold, expectObservable }) => {
      const logs = (): Reporter => ({ ...logsOf(() => EMPTY)(), see: () => { throw new TypeError('no metrics'); } });
      expectObservable(cold('-a-|', { a: settled(0) }).pipe(report(run, gateOf(), { every: 50, logs }))).toBe('-#', {}, new OperatorError('report', settled(0), new TypeError('no metrics')));
    })));
  });

  it('redraws its line at every step, and writes on its interval and at the end', withRun(async (folder) => {
    const run = context(folder, { steps: 5 });
    const frames = await lastValueFrom(from(range(0, 5)).pipe(report(run, gateOf(), { every: 2, width: () => undefined }), toArray()));
    expect(frames.map(({ logged }) => logged)).toEqual([false, true, false, true, true]);
    expect(run.bars).toHaveLength(5);
    expect(run.bars[0]).toBe('step 1/5 20%  engine 50% busy, waits for decode  l2 0.0000');
    expect(run.bars[4]).toMatch(/^step 5\/5 100% {2}ETA 0s {2}\d\.\d\d images\/s {2}engine 50% busy, waits for decode {2}l2 0\.\d{4}$/);
    expect(await readFile(folder.metrics.path, 'utf8')).toBe([1, 3, 4].map((step) => (
      `{"step":${step},"epoch":0,"generator.loss":0.5,"generator.gradNorm":1,"generator.finite":1,"generator.l2":${Number((step / 3).toPrecision(9))}}\n`)).join(''));
    const timing = await readLog(folder.timing.path);
    expect(timing.map(({ step, images }) => [step, images])).toEqual([[1, 2], [3, 4], [4, 5]]);
    expect(timing[2]?.['peakBytes']).toBeGreaterThan(2 ** 20);
    expect(timing[2]).toMatchObject({ engineBusy: 0.5, maxInFlight: 2, bottleneck: 'decode', time: expect.stringMatching(/^\d{4}-.*Z$/) });
  }));

  it('writes a step that was validated, whatever the interval', withRun(async (folder) => {
    const frames = range(0, 4).map((frame) => ({ ...frame, scores: frame.step === 2 ? { psnr: 20, ssim: 0.5 } : undefined }));
    await lastValueFrom(from(frames).pipe(report(context(folder), gateOf(), { every: 50 })));
    expect((await readLog(folder.metrics.path)).map(({ step }) => step)).toEqual([2]);
  }));

  it('goes on with the seconds and images of the sessions before', withRun(async (folder) => {
    await lastValueFrom(from(range(0, 4)).pipe(report(context(folder), gateOf(10), { every: 2 })));
    const before = (await readLog(folder.timing.path)).at(-1) as unknown as { seconds: number };
    await lastValueFrom(from(range(4, 6)).pipe(report(context(folder, { start: 4 }), gateOf(3), { every: 2 })));
    const after = (await readLog(folder.timing.path)).at(-1) as unknown as { step: number; seconds: number; images: number };
    expect(after.images).toBe(6);
    expect(after.seconds).toBeGreaterThan(before.seconds + 3);
    expect(after.seconds).toBeLessThan(before.seconds + 5);
  }));

  it('closes the timing of a run that ends between two lines, but not of one that fails', withRun(async (folder) => {
    await lastValueFrom(from(range(0, 3)).pipe(report(context(folder), gateOf(), { every: 2 })));
    expect((await readLog(folder.timing.path)).map(({ step }) => step)).toEqual([1, 2]);
    expect((await readLog(folder.metrics.path)).map(({ step }) => step)).toEqual([1]);
    await expect(lastValueFrom(concat(from(range(3, 5)), throwError(() => new Error('boom'))).pipe(report(context(folder), gateOf(), { every: 50 })))).rejects.toThrow('boom');
    expect((await readLog(folder.timing.path)).map(({ step }) => step)).toEqual([1, 2]);
  }));

  it('refuses an interval that makes no sense', () => {
    expect(() => report(context({} as RunFolder), gateOf(), { every: -1 })).toThrow('report: expected every to be a positive integer but received -1');
  });
});
