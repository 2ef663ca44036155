import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { concat, from, lastValueFrom, of, toArray } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { validate } from '../../src/operators/validate.ts';
import type { Translate } from '../../src/run/method.ts';
import type { RunFolder } from '../../src/run/runFolder.ts';
import type { Validation } from '../../src/run/validation.ts';
import * as tf from '../../src/tf.ts';
import { leakFree, marbles } from '../support.ts';
import { madeUp } from '../run/heldOut.ts';
import { withRun } from '../run/support.ts';
import { letsPass, settled, waitsForWork } from './plain.ts';

const context = (folder: RunFolder, steps = 100) => {
  const lines: string[] = [];
  return { folder, steps, seed: 7, lines, report: { line: (text: string) => { lines.push(text); }, bar: () => {} } };
};
const half: Translate = (source) => tf.mul(source, 0.5);

describe('validate', () => {
  letsPass(() => validate(context({} as RunFolder), madeUp(2), half, { every: 50 }));

  describe('while the model is scored', () => {
    const scores = { psnr: 20, ssim: 0.5 };
    waitsForWork('validate', (work) => validate(context({} as RunFolder), madeUp(0), half, { every: 1, score: (step) => concat(work(step), of(scores)) }));

    it('lets steps pass that are not due, and adds the scores to those that are', leakFree(marbles(({ cold, expectObservable }) => {
      const source = cold('-a-b---c-|', { a: settled(0), b: settled(1), c: settled(2) });
      const validated = { ...settled(1), metrics: { ...settled(1).metrics, 'val.psnr': 20, 'val.ssim': 0.5 }, scores };
      expectObservable(source.pipe(validate(context({} as RunFolder), madeUp(0), half, { every: 2, score: () => cold('--(s|)', { s: scores }) })))
        .toBe('-a---b-c-|', { a: { ...settled(0), scores: undefined }, b: validated, c: { ...settled(2), scores: undefined } });
    })));
  });

  it('scores on its interval and at the end, beside baselines computed once', leakFree(withRun(async (folder) => {
    const [run, heldOut] = [context(folder, 5), madeUp(3)];
    const frames = await lastValueFrom(from([0, 1, 2, 3, 4].map((step) => settled(step))).pipe(validate(run, heldOut, half, { every: 2, batch: 2 }), toArray()));
    expect(frames.map(({ scores }) => scores !== undefined)).toEqual([false, true, false, true, true]);
    expect(frames[1]?.metrics).toEqual({ ...settled(1).metrics, 'val.psnr': frames[1]?.scores?.psnr, 'val.ssim': frames[1]?.scores?.ssim });
    expect(frames[2]?.metrics).toEqual(settled(2).metrics);
    expect(heldOut.means).toBe(1);
    const written = JSON.parse(await readFile(join(folder.path, 'validation.json'), 'utf8')) as Validation;
    expect(written).toMatchObject({ step: 5, images: 3, ...frames[4]?.scores, meanTargetImages: 64 });
    expect(written.copySource?.psnr).toBeGreaterThan(written.psnr);
    expect(run.lines).toHaveLength(3);
    expect(run.lines[0]).toMatch(/^step 2: PSNR \d+\.\d\d dB, SSIM 0\.\d{4} on 3 held-out pairs \(copy the source: /);
  })));

  it('has no copied source beside an image that is its own target', leakFree(withRun(async (folder) => {
    const run = context(folder, 1);
    await lastValueFrom(from([settled(0)]).pipe(validate(run, { ...madeUp(2), reconstructs: true }, half, { every: 1 })));
    expect((JSON.parse(await readFile(join(folder.path, 'validation.json'), 'utf8')) as Validation).copySource).toBeNull();
    expect(run.lines[0]).toMatch(/^step 1: PSNR \d+\.\d\d dB, SSIM 0\.\d{4} on 2 held-out images \(mean image: \d/);
  })));

  it('scores the model by sampler steps after the last step, where it takes several', leakFree(withRun(async (folder) => {
    const run = context(folder, 4);
    const bySteps: Translate = (source, { steps = 1 }) => tf.mul(source, 1 - 0.1 * steps);
    const [first, last] = [settled(1), settled(3)];
    await lastValueFrom(from([first]).pipe(validate(run, madeUp(3), bySteps, { every: 2, sweep: [1, 2] })));
    const read = async (): Promise<Validation> => JSON.parse(await readFile(join(folder.path, 'validation.json'), 'utf8')) as Validation;
    expect((await read()).bySteps).toBeUndefined();
    await lastValueFrom(from([last]).pipe(validate(run, madeUp(3), bySteps, { every: 2, sweep: [1, 2] })));
    const { bySteps: swept = [], psnr } = await read();
    expect(swept.map(({ steps }) => steps)).toEqual([1, 2]);
    expect(swept[0]?.psnr).toBeCloseTo(psnr, 4);
    expect(swept[1]?.psnr).toBeGreaterThan(psnr + 10);
    expect(run.lines).toHaveLength(3);
    expect(run.lines[2]).toMatch(/^ {2}sampler steps .*\n {2}1 +\d+\.\d\d dB .*\n {2}2 +/);
  })));

  it('says when there is nothing to validate on', leakFree(withRun(async (folder) => {
    const run = context(folder, 4);
    const frames = await lastValueFrom(from([1, 3].map((step) => settled(step))).pipe(validate(run, madeUp(0), half, { every: 2 }), toArray()));
    expect(frames.map(({ scores }) => scores)).toEqual([undefined, undefined]);
    expect(run.lines).toEqual(['there are no held-out pairs: nothing was validated']);
  })));

  it('fails with what the model throws, and frees what it made', leakFree(withRun(async (folder) => {
    const broken: Translate = (source) => { tf.add(source, 1); throw new Error('boom'); };
    await expect(lastValueFrom(from([settled(0)]).pipe(validate(context(folder), madeUp(2), broken, { every: 1 })))).rejects.toThrow('boom');
  })));

  it('refuses options that make no sense', () => {
    expect(() => validate(context({} as RunFolder), madeUp(1), half, { every: 0.5 })).toThrow('validate: expected every to be a positive integer but received 0.5');
    expect(() => validate(context({} as RunFolder), madeUp(1), half, { every: 1, batch: 0 })).toThrow('validate: expected batch to be a positive integer but received 0');
  });
});
