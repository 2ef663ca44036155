import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { pointAt } from '../../src/run/atomic.ts';
import { describeEnvironment, noteResume } from '../../src/run/environment.ts';
import { json } from '../../src/run/runFolder.ts';
import { summaryTable, writeSummary } from '../../src/run/summary.ts';
import { right, withRun } from './support.ts';

const facts = { engine: 'cpu', seed: 7, skippedFiles: 2 };

describe('writeSummary', () => {
  it('says what was reached and how, from what lies in the folder', withRun(async (run) => {
    await run.timing.append({ step: 9, seconds: 4, images: 40, engineBusy: 0.5, maxInFlight: 2, bottleneck: 'decode' });
    await run.timing.append({ step: 19, seconds: 8.12345678, images: 80, engineBusy: 0.98765, maxInFlight: 3, bottleneck: 'engine' });
    await writeFile(join(run.path, 'validation.json'), json({ step: 20, images: 5, psnr: 24.5, ssim: 0.9, copySource: { psnr: 21, ssim: 0.8 }, meanTarget: { psnr: 12.345, ssim: 0.25 }, meanTargetImages: 64 }));
    await mkdir(join(run.checkpoints, 'checkpoint-20'));
    await pointAt(join(run.checkpoints, 'best'), join(run.checkpoints, 'checkpoint-20'));
    const summary = await right(writeSummary(run, facts));
    expect(JSON.parse(await readFile(join(run.path, 'summary.json'), 'utf8'))).toEqual({
      method: 'tiny', engine: 'cpu', steps: 20, seconds: 8.123, imagesPerSecond: 9.848, engineBusy: 0.9877, maxInFlight: 3, bottleneck: 'engine', peakMemory: { process: 0, tensors: 0 }, seed: 7,
      val: { psnr: 24.5, ssim: 0.9, copySource: { psnr: 21, ssim: 0.8 }, meanTarget: { psnr: 12.345, ssim: 0.25 } }, skippedFiles: 2, bestCheckpoint: join('checkpoints', 'checkpoint-20'),
    });
    const cwd = dirname(run.path);
    expect(summaryTable(summary, run, cwd)).toBe(`tiny: 20 steps in 8s, 9.8 images/s, engine cpu 99% busy, 2 files skipped
  held-out pairs        PSNR      SSIM
  result            24.50 dB    0.9000
  copy the source   21.00 dB    0.8000
  mean target       12.35 dB    0.2500
  3.50 dB above copy-the-source
summary      ${join(run.id, 'summary.json')}
samples      ${join(run.id, 'samples', 'latest.png')}
checkpoints  ${join(run.id, 'checkpoints')} (best: checkpoint-20)`);
  }));

  it('has the most memory of any session, and prints it', withRun(async (run) => {
    await run.timing.append({ step: 9, seconds: 4, images: 40, engineBusy: 0.5, maxInFlight: 2, bottleneck: 'engine', peakBytes: 3 * 2 ** 30, peakTensorBytes: 2 ** 20 });
    await run.timing.append({ step: 19, seconds: 8, images: 80, engineBusy: 0.5, maxInFlight: 2, bottleneck: 'engine', peakBytes: 2 ** 30, peakTensorBytes: 2 ** 21 });
    const summary = await right(writeSummary(run, facts));
    expect(summary.peakMemory).toEqual({ process: 3 * 2 ** 30, tensors: 2 ** 21 });
    expect(summaryTable(summary, run)).toContain('50% busy, 3.0 GiB of memory at most');
  }));

  it('has the scores by sampler steps of a validation that made them', withRun(async (run) => {
    const bySteps = [1, 2].map((steps) => ({ steps, psnr: 20 + steps, ssim: 0.5, msPerImage: 4 * steps }));
    await writeFile(join(run.path, 'validation.json'), json({ step: 1, images: 1, psnr: 20, ssim: 0.5, copySource: { psnr: 21, ssim: 1 }, meanTarget: { psnr: 10, ssim: 0 }, meanTargetImages: 3, bySteps }));
    await right(writeSummary(run, facts));
    expect((JSON.parse(await readFile(join(run.path, 'summary.json'), 'utf8')) as { val: unknown }).val).toMatchObject({ bySteps });
  }));

  it('holds for a run that did nothing and validated nothing', withRun(async (run) => {
    const summary = await right(writeSummary(run, facts));
    expect(summary).toMatchObject({ steps: 0, seconds: 0, imagesPerSecond: 0, val: null, bestCheckpoint: null, bottleneck: 'none' });
    expect(summaryTable(summary, run)).toContain('no held-out pairs to validate on');
  }));

  it('has no copied source for a method that reconstructs', withRun(async (run) => {
    await writeFile(join(run.path, 'validation.json'), json({ step: 20, images: 5, psnr: 24.5, ssim: 0.9, copySource: null, meanTarget: { psnr: 12.345, ssim: 0.25 }, meanTargetImages: 64 }));
    const summary = await right(writeSummary(run, facts));
    expect(summary.val?.copySource).toBeNull();
    const table = summaryTable(summary, run);
    expect(table).not.toContain('copy');
    expect(table).toContain('  mean image        12.35 dB');
  }));

  it('can say infinity', withRun(async (run) => {
    await writeFile(join(run.path, 'validation.json'), json({ step: 1, images: 1, psnr: 20, ssim: 0.5, copySource: { psnr: Infinity, ssim: 1 }, meanTarget: { psnr: NaN, ssim: NaN }, meanTargetImages: 0 }));
    const summary = await right(writeSummary(run, facts));
    expect(JSON.parse(await readFile(join(run.path, 'summary.json'), 'utf8')).val.copySource.psnr).toBe('Infinity');
    expect(summaryTable(summary, run)).toContain('Infinity dB');
  }));
});

describe('describeEnvironment', () => {
  it('says on what a run ran, and where it was resumed', withRun(async (run) => {
    const environment = await describeEnvironment({ name: 'cpu', device: 'pure JavaScript', passedOver: [{ name: 'node-gpu', why: 'not installed' }] }, { argv: ['pipelines/tiny.ts', '--seed', '1'], parent: 'runs/tiny/before' });
    expect(environment).toMatchObject({
      argv: ['pipelines/tiny.ts', '--seed', '1'], node: process.version, engine: 'cpu', device: 'pure JavaScript', passedOver: [{ name: 'node-gpu', why: 'not installed' }], parent: 'runs/tiny/before',
      packages: { rxjs: expect.stringMatching(/^7\./), sharp: expect.stringMatching(/^\d/), '@tensorflow/tfjs': expect.stringMatching(/^4\./) }, threads: expect.any(Number),
    });
    expect(environment.revision ?? '0'.repeat(40)).toMatch(/^[0-9a-f]{40}\+?$/);
    await noteResume(run, 30, environment);
    await noteResume(run, 60, environment);
    expect((JSON.parse(await readFile(join(run.path, 'env.json'), 'utf8')) as { resumed: { step: number; node: string }[] }).resumed.map(({ step, node }) => [step, node])).toEqual([[30, process.version], [60, process.version]]);
  }));
});
