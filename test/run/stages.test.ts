import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fixtures } from '../../fixtures/index.ts';
import { sha256 } from '../../src/run/checkpoint.ts';
import { controlPanel } from '../../src/run/control.ts';
import { datasetsOnDisk } from '../../src/run/datasets.ts';
import { newestCheckpoint, runOf } from '../../src/run/restore.ts';
import { runMethod } from '../../src/run/runPipeline.ts';
import { RunError } from '../../src/run/training.ts';
import { node } from '../resume/processes.ts';
import { leakFree } from '../support.ts';
import { imagePipeline } from './imagePipeline.ts';
import { right } from './support.ts';

let out: string;
beforeEach(async () => { out = await mkdtemp(join(tmpdir(), 'millrace-stages-')); });
afterEach(async () => { await rm(out, { recursive: true, force: true }); });

const argv = (settings: readonly string[]): string[] => ['--data', fixtures.tiny.root, '--out', out, ...settings.flatMap((setting) => ['--set', setting])];
const latest = () => right(runOf(join(out, 'image', 'latest')));

describe('a run whose model fails while it is looked at', () => {
  it.each([
    ['validate', 'track.validateEvery=4'],
    ['sample', 'track.sampleEvery=4'],
  ])('names %s, the step and the images, and has that very step saved, whole', (operator, setting) => leakFree(async () => {
    const code = runMethod(imagePipeline, argv([setting, 'failFrom=0']), { datasets: datasetsOnDisk, report: { line: () => {}, bar: () => {}, end: () => {} }, panel: controlPanel(), script: 'image.ts' });
    const failure: unknown = await code.catch((cause: unknown) => cause);
    expect(failure).toBeInstanceOf(RunError);
    expect((failure as RunError).message).toMatch(new RegExp(`^${operator} failed at step 3 on \\[[^,]+, [^,]+\\]: asked to fail$`));
    const { run } = await latest();
    expect(await readdir(run.checkpoints)).toEqual(['checkpoint-4', 'latest']);
    expect(await right(newestCheckpoint(run))).toMatchObject({ path: join(run.checkpoints, 'checkpoint-4'), state: { step: 4 }, broken: [] });
  })());

  it('ends a process with status 1, and can be resumed to the same weights as an unbroken run', async () => {
    const start = async (more: readonly string[]): Promise<Readonly<{ code: number | null; text: string }>> => {
      const child = spawn(node, [join(import.meta.dirname, 'imagePipeline.ts'), ...more]);
      let text = '';
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => { text += data.toString(); });
      return { code: await new Promise((resolve) => { child.on('close', resolve); }), text };
    };
    const broken = await start(argv(['track.validateEvery=4', 'failFrom=0']));
    expect(broken.code, broken.text).toBe(1);
    expect(broken.text).toMatch(/error: validate failed at step 3 on \[.*\]: asked to fail\ncheckpoint saved: .*checkpoint-4\ncontinue with\n/);
    const resumed = await start(['--resume', '--out', out, '--set', 'failFrom=-1']);
    expect(resumed.code, resumed.text).toBe(0);
    expect(resumed.text).toContain('resuming at step 4');
    const { run } = await latest();
    const whole = await start(argv(['track.validateEvery=4']));
    expect(whole.code, whole.text).toBe(0);
    const other = await latest();
    const weights = (path: string): Promise<string> => sha256(join(path, 'checkpoints', 'checkpoint-6', 'tiny.safetensors'));
    expect(await weights(run.path)).toEqual(await weights(other.run.path));
  });
});

describe('a sample that is asked for', () => {
  const start = (settings: readonly string[]) => {
    const [panel, lines] = [controlPanel(), [] as string[]];
    let steps = 0;
    const report = { line: (text: string) => { lines.push(text); }, bar: () => { steps++; }, end: () => {} };
    const code = runMethod(imagePipeline, argv(settings), { datasets: datasetsOnDisk, report, panel, script: 'image.ts' });
    const until = async (condition: () => boolean): Promise<void> => {
      for (let i = 0; i < 4000 && !condition(); i++) await new Promise((resolve) => { setTimeout(resolve, 10); });
      expect(condition(), lines.join('\n')).toBe(true);
    };
    return { panel, lines, code, until, steps: () => steps };
  };

  it('is drawn while the run is paused, from the weights at hand, and the run goes on as if nothing had been', leakFree(async () => {
    const { panel, lines, code, until, steps } = start(['steps=60']);
    await until(() => steps() >= 3);
    panel.hold(true);
    panel.requestSample();
    await until(() => lines.some((text) => text.startsWith('a sample strip of step')));
    // The step under way was finished, and none begun since.
    const reached = steps();
    expect(reached).toBeLessThan(60);
    const { run } = await latest();
    const path = join(run.samples, `step-${`${reached}`.padStart(8, '0')}.png`);
    expect(lines.at(-1)).toBe(`a sample strip of step ${reached} is in ${path}`);
    expect(await readdir(run.samples)).toEqual(['latest.png', basename(path)]);
    // Asked for and let go on in one breath: drawn before the next step.
    panel.requestSample();
    panel.hold(false);
    expect(await code).toBe(0);
    expect(lines.filter((text) => text.startsWith(`a sample strip of step ${reached} `))).toHaveLength(2);
    const undisturbed = start(['steps=60']);
    expect(await undisturbed.code).toBe(0);
    const other = await latest();
    const weights = (path: string): Promise<string> => sha256(join(path, 'checkpoints', 'checkpoint-60', 'tiny.safetensors'));
    expect(await weights(run.path)).toBe(await weights(other.run.path));
  }));
});
