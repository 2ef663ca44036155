import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fixtures } from '../../fixtures/index.ts';
import { taesd } from '../../pipelines/taesd.ts';
import { controlPanel } from '../../src/run/control.ts';
import { datasetsOnDisk } from '../../src/run/datasets.ts';
import { runMethod } from '../../src/run/runPipeline.ts';
import { findTrained, withTrained } from '../../src/run/trainedRun.ts';
import * as tf from '../../src/tf.ts';
import { leakFree } from '../support.ts';

let folder = '';
beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), 'millrace-taesd-')); });
afterAll(async () => { await rm(folder, { recursive: true, force: true }); });

/** Trains on the tiny fixture with nets that are as small as can be; returns what was said, and the tensors that were alive at the end of each step. */
const train = async (steps: number, ...settings: readonly string[]): Promise<Readonly<{ lines: string[]; alive: number[] }>> => {
  const lines: string[] = [];
  const alive: number[] = [];
  const flags = ['student.width=4', 'gan.base=8', 'gan.layers=1', 'gan.history=4', `track.logEvery=${steps}`, `track.sampleEvery=${steps}`, `track.validateEvery=${steps}`, `track.saveEvery=${steps}`, ...settings];
  const code = await runMethod(taesd, ['--data', fixtures.tiny.root, '--size', '8', '--batch', '2', '--steps', `${steps}`, '--out', folder, ...flags.flatMap((flag) => ['--set', flag])],
    { datasets: datasetsOnDisk, report: { line: (text) => { lines.push(text); }, bar: () => { alive.push(tf.memory().numTensors); }, end: () => {} }, panel: controlPanel(), script: 'taesd.ts' });
  expect(code, lines.join('\n')).toBe(0);
  return { lines, alive };
};

describe('taesd', () => {
  it('leaves no tensor behind in 500 steps of two students, two critics and a memory', leakFree(async () => {
    const { alive } = await train(500, 'recipe=v1.2', 'guard.every=20', 'guard.warmUp=10');
    const window = (from: number, to: number): [number, number] => [Math.min(...alive.slice(from, to)), Math.max(...alive.slice(from, to))];
    expect(alive).toHaveLength(500);
    expect(window(400, 499)).toEqual(window(50, 149));
  }), 240_000);

  it('goes back to its last good weights when it diverges, and says so', leakFree(async () => {
    // A critic's term a thousand times too strong, under a bound that the first swing oversteps.
    const { lines } = await train(60, 'loss.gan=1000', 'optim.lr=0.02', 'guard.warmUp=5', 'guard.patience=2', 'guard.tolerance=1.01', 'guard.every=5', 'guard.most=100');
    expect(lines.find((line) => line.includes('back to the last good weights'))).toMatch(/^step \d+: decoder\.distance has been above 1\.01 times its best \(.*\) for 2 steps; back to the last good weights, adversarial weight now 0\.5$/);
  }), 60_000);

  it('names its teacher, and scores it beside the student', leakFree(async () => {
    const { lines } = await train(2, 'recipe=mse');
    expect(lines.find((line) => line.startsWith('teacher '))).toContain('a small one of this project\'s fixtures');
    expect(lines.find((line) => line.startsWith('the teacher itself: '))).toMatch(/PSNR \d+\.\d\d dB, SSIM 0\.\d{4} on the same 4 images$/);
  }), 60_000);

  it('trains a student that is used without its teacher', leakFree(async () => {
    const teacher = join(folder, 'teacher');
    await cp(join(import.meta.dirname, '..', '..', 'fixtures', 'teacher'), teacher, { recursive: true });
    await train(2, 'recipe=mse', `teacher.autoencoder=${teacher}`);
    await rm(teacher, { recursive: true });
    const shape = await withTrained(await findTrained(join(folder, 'taesd', 'latest'), { checkpoint: 'latest' }), async (nets) =>
      tf.tidy(() => taesd.translate(nets as ReturnType<typeof taesd.nets>, {} as Parameters<typeof taesd.translate>[1])(tf.zeros([1, 16, 24, 3]), { keys: [] }).shape));
    expect(shape).toEqual([1, 16, 24, 3]);
  }), 60_000);
});
