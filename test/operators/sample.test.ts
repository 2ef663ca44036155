import { readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { NEVER, Subject, from, lastValueFrom, of, toArray } from 'rxjs';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { sample } from '../../src/operators/sample.ts';
import type { Translate } from '../../src/run/method.ts';
import type { RunFolder } from '../../src/run/runFolder.ts';
import * as tf from '../../src/tf.ts';
import { leakFree } from '../support.ts';
import { madeUp } from '../run/heldOut.ts';
import { withRun } from '../run/support.ts';
import { letsPass, settled, waitsForWork } from './plain.ts';

const context = (folder: RunFolder, steps = 100) => {
  const lines: string[] = [];
  const ask = new Subject<void>();
  return { folder, steps, seed: 7, lines, ask, report: { line: (text: string) => { lines.push(text); }, bar: () => {} }, control: { paused: of(false), sample: ask, save: NEVER, stop: NEVER } };
};
const model: Translate = (source) => tf.mul(source, 0.8);

describe('sample', () => {
  letsPass(() => sample(context({} as RunFolder), madeUp(2), model, { every: 50 }));
  describe('while a strip is drawn', () => { waitsForWork('sample', (draw) => sample(context({} as RunFolder), madeUp(0), model, { every: 1, draw })); });

  it('draws strips on its interval and at the end, named by completed steps', leakFree(withRun(async (folder) => {
    const run = context(folder, 5);
    await lastValueFrom(from([0, 1, 2, 3, 4].map((step) => settled(step))).pipe(sample(run, madeUp(5), model, { every: 2, count: 3 }), toArray()));
    expect((await readdir(folder.samples)).sort()).toEqual(['latest.png', 'step-00000002.png', 'step-00000004.png', 'step-00000005.png']);
    const [last, latest] = [await readFile(join(folder.samples, 'step-00000005.png')), await readFile(join(folder.samples, 'latest.png'))];
    expect(last.equals(latest)).toBe(true);
    const { width, height } = await sharp(latest).metadata();
    expect([width, height]).toEqual([8 + 4 * 104, 21 + 3 * 104 + 13]);
    expect(run.ask.observed).toBe(false);
  })));

  it('draws after the next step when asked, once', withRun(async (folder) => {
    const run = context(folder);
    const source = new Subject<ReturnType<typeof settled>>();
    const done = lastValueFrom(source.pipe(sample(run, madeUp(2), model, { every: 50 }), toArray()));
    source.next(settled(0));
    run.ask.next();
    for (const step of [1, 2, 3]) source.next(settled(step));
    source.complete();
    expect((await done).map(({ step }) => step)).toEqual([0, 1, 2, 3]);
    expect((await readdir(folder.samples)).sort()).toEqual(['latest.png', 'step-00000002.png']);
  }));

  it('draws nothing without pairs, and goes on when it cannot write', leakFree(withRun(async (folder) => {
    const run = context(folder);
    await lastValueFrom(of(settled(0)).pipe(sample(run, madeUp(0), model, { every: 1 })));
    expect(await readdir(folder.samples)).toEqual([]);
    await rm(folder.samples, { recursive: true });
    await writeFile(folder.samples, 'in the way');
    await lastValueFrom(of(settled(0)).pipe(sample(run, madeUp(1), model, { every: 1 })));
    expect(run.lines[0]).toMatch(/step-00000001\.png: cannot be written: ENOTDIR/);
  })));

  it('refuses options that make no sense', () => {
    expect(() => sample(context({} as RunFolder), madeUp(1), model, { every: 0 })).toThrow('sample: expected every to be a positive integer but received 0');
    expect(() => sample(context({} as RunFolder), madeUp(1), model, { every: 1, count: 1.5 })).toThrow('sample: expected count to be a positive integer but received 1.5');
  });
});
