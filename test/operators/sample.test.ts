import { readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { NEVER, type Observable, Subject, concat, from, lastValueFrom, map, of, tap, toArray } from 'rxjs';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { sample } from '../../src/operators/sample.ts';
import type { Translate } from '../../src/run/method.ts';
import type { RunFolder } from '../../src/run/runFolder.ts';
import { creditGate } from '../../src/streams/creditGate.ts';
import type { Settled } from '../../src/streams/frames.ts';
import { OperatorError } from '../../src/streams/mapTensors.ts';
import * as tf from '../../src/tf.ts';
import { leakFree, marbles } from '../support.ts';
import { madeUp } from '../run/heldOut.ts';
import { withRun } from '../run/support.ts';
import { letsPass, settled, waitsForWork } from './plain.ts';

const context = (folder: RunFolder, steps = 100) => {
  const lines: string[] = [];
  const ask = new Subject<void>();
  return { folder, start: 0, steps, seed: 7, lines, ask, report: { line: (text: string) => { lines.push(text); }, bar: () => {} }, control: { paused: of(false), sample: ask, save: NEVER, stop: NEVER } };
};
/** A gate with no frame under way, ever. */
const atOnce = { between: <T>(work: Observable<T>): Observable<T> => work };
const model: Translate = (source) => tf.mul(source, 0.8);

describe('sample', () => {
  letsPass(() => sample(context({} as RunFolder), atOnce, madeUp(2), model, { every: 50 }));
  describe('while a strip is drawn', () => { waitsForWork('sample', (draw) => sample(context({} as RunFolder), atOnce, madeUp(0), model, { every: 1, draw })); });

  it('draws strips on its interval and at the end, named by completed steps', leakFree(withRun(async (folder) => {
    const run = context(folder, 5);
    await lastValueFrom(from([0, 1, 2, 3, 4].map((step) => settled(step))).pipe(sample(run, atOnce, madeUp(5), model, { every: 2, count: 3 }), toArray()));
    expect((await readdir(folder.samples)).sort()).toEqual(['latest.png', 'step-00000002.png', 'step-00000004.png', 'step-00000005.png']);
    const [last, latest] = [await readFile(join(folder.samples, 'step-00000005.png')), await readFile(join(folder.samples, 'latest.png'))];
    expect(last.equals(latest)).toBe(true);
    const { width, height } = await sharp(latest).metadata();
    expect([width, height]).toEqual([8 + 4 * 104, 21 + 3 * 104 + 13]);
    expect(run.ask.observed).toBe(false);
  })));

  it('draws when asked, after the step under way, and says where', leakFree(withRun(async (folder) => {
    const run = context(folder);
    const gate = creditGate(2);
    const frames = gate.pull([0, 1, 2, 3].map((step) => settled(step))).pipe(
      gate.inTurn(), tap(({ step }) => { if (step === 1) { run.ask.next(); run.ask.next(); } }), sample(run, gate, madeUp(2), model, { every: 50 }), gate.settle(), toArray());
    expect((await lastValueFrom(frames)).map(({ step }) => step)).toEqual([0, 1, 2, 3]);
    expect((await readdir(folder.samples)).sort()).toEqual(['latest.png', 'step-00000002.png']);
    expect(run.lines).toEqual([`a sample strip of step 2 is in ${join(folder.samples, 'step-00000002.png')}`]);
    expect(run.ask.observed).toBe(false);
  })));

  describe('when asked', () => {
    const frames = { a: settled(0), b: settled(1) };
    /** A strip that takes three frames, of a run that is asked when `asks` say. */
    const strips = (asks: Observable<void>, steps: number[], made: Observable<string>) => {
      const run = { ...context({} as RunFolder), start: 4, control: { paused: of(true), sample: asks, save: NEVER, stop: NEVER } };
      return (between: <T>(work: Observable<T>) => Observable<T>) => sample<Settled>(run, { between }, madeUp(0), model, { every: 50, draw: (step) => { steps.push(step); return made; } });
    };

    it('waits for its turn, draws the step seen last, and takes what is asked meanwhile as the same wish', leakFree(marbles(({ cold, hot, expectObservable, expectSubscriptions, flush }) => {
      const steps: number[] = [];
      const asks = hot<void>('--x--x--x-----');
      const made = cold('--(p|)', { p: 'strip.png' });
      const turn = cold<never>('---|');
      const source = cold('-a----------b--|', frames);
      expectObservable(source.pipe(strips(asks, steps, made)((work) => concat(turn, work)), map(({ step }) => step))).toBe('-a----------b--|', { a: 0, b: 1 });
      expectSubscriptions(turn.subscriptions).toBe(['--^--!', '--------^--!']);
      expectSubscriptions(made.subscriptions).toBe(['-----^-!', '-----------^-!']);
      expectSubscriptions(asks.subscriptions).toBe('^--------------!');
      flush();
      expect(steps).toEqual([0, 0]);
    })));

    it('draws the weights a run begins with before its first step', leakFree(marbles(({ cold, hot, expectObservable, flush }) => {
      const steps: number[] = [];
      expectObservable(cold('-----a|', frames).pipe(strips(hot('-x-----'), steps, of('strip.png'))((work) => work), map(({ step }) => step))).toBe('-----a|', { a: 0 });
      flush();
      expect(steps).toEqual([3]);
    })));

    it('fails with a strip, and drops it on early unsubscription', leakFree(marbles(({ cold, hot, expectObservable, expectSubscriptions }) => {
      const failing = strips(hot('--x----'), [], cold<string>('-#', {}, new Error('no memory')))((work) => work);
      expectObservable(cold('-a----', frames).pipe(failing, map(({ step }) => step))).toBe('-a-#', { a: 0 }, new OperatorError('sample', frames.a, new Error('no memory')));
      const [asks, made, source] = [hot<void>('--x-----'), cold<string>('-----(p|)'), cold('-a------', frames)];
      expectObservable(source.pipe(strips(asks, [], made)((work) => work), map(({ step }) => step)), '^---!').toBe('-a---', { a: 0 });
      expectSubscriptions(made.subscriptions).toBe('--^-!');
      expectSubscriptions(asks.subscriptions).toBe(['^---!']);
    })));
  });

  it('draws nothing without pairs, and goes on when it cannot write', leakFree(withRun(async (folder) => {
    const run = context(folder);
    await lastValueFrom(of(settled(0)).pipe(sample(run, atOnce, madeUp(0), model, { every: 1 })));
    expect(await readdir(folder.samples)).toEqual([]);
    await rm(folder.samples, { recursive: true });
    await writeFile(folder.samples, 'in the way');
    await lastValueFrom(of(settled(0)).pipe(sample(run, atOnce, madeUp(1), model, { every: 1 })));
    expect(run.lines[0]).toMatch(/step-00000001\.png: cannot be written: ENOTDIR/);
  })));

  it('refuses options that make no sense', () => {
    expect(() => sample(context({} as RunFolder), atOnce, madeUp(1), model, { every: 0 })).toThrow('sample: expected every to be a positive integer but received 0');
    expect(() => sample(context({} as RunFolder), atOnce, madeUp(1), model, { every: 1, count: 1.5 })).toThrow('sample: expected count to be a positive integer but received 1.5');
  });
});
