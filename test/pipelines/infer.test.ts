import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fixtures } from '../../fixtures/index.ts';
import { node } from '../resume/processes.ts';

const root = join(import.meta.dirname, '..', '..');
const run = (...args: readonly string[]): Promise<Readonly<{ text: string; status: number | null }>> => new Promise((resolve) => {
  const child = execFile(node, args, { cwd: root }, (_, stdout, stderr) => { resolve({ text: stdout + stderr, status: child.exitCode }); });
});

describe('pipelines/infer.ts', () => {
  let home = '';
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'millrace-infer-'));
    const settings = ['network.base=8', 'network.multipliers=[1,2]', 'sample.sweep=[]', 'flow.from=source'].flatMap((setting) => ['--set', setting]);
    const { text, status } = await run('pipelines/flow.ts', '--data', fixtures.tiny.root, '--size', '16', '--batch', '2', '--steps', '2', '--out', home, ...settings);
    if (status !== 0) throw new Error(text);
  }, 120_000);
  afterAll(() => rm(home, { recursive: true, force: true }));
  const image = join(fixtures.tiny.root, 'test_A', 'scene0-view8.png');
  const infer = async (...args: readonly string[]) => {
    const out = join(home, args.join('_').replace(/\W+/g, '-'));
    return { out: join(out, 'scene0-view8.png'), ...await run('pipelines/infer.ts', '--run', join(home, 'flow', 'latest'), '--in', image, '--out', out, ...args) };
  };

  it('samples with the steps and the sampler of its command line, whatever the run was trained with', async () => {
    const made: Buffer[] = [];
    for (const args of [['--steps', '3'], ['--steps', '5'], ['--steps', '3', '--set', 'flow.sampler=heun']]) {
      const { out, text, status } = await infer(...args);
      expect(status, text).toBe(0);
      expect(text).toContain('1 images written to');
      made.push(await readFile(out));
    }
    expect(new Set(made.map((bytes) => bytes.toString('base64'))).size).toBe(3);
  });

  it('says which steps a sampler does not take before it begins', async () => {
    const { text, status } = await infer('--steps', '2', '--set', 'flow.sampler=heun');
    expect(status).toBe(1);
    expect(text).toContain('error: --steps 2: flow: expected an odd number of calls for heun (2 n - 1 for n steps) but received 2');
    expect(text).not.toContain('failed');
  });
});
