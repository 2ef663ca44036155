import { appendFile, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { follow } from '../../src/run/atomic.ts';
import { createRunFolder, openRunFolder, rewindRunFolder } from '../../src/run/runFolder.ts';
import { logLine, readLog, rewindLog } from '../../src/run/runLog.ts';
import { left, right, withRun } from './support.ts';

describe('createRunFolder', () => {
  it('never writes over a run, however fast they start, and points latest at the newest', async () => {
    const root = await mkdtemp(join(tmpdir(), 'millrace-'));
    try {
      const now = new Date(2026, 1, 3, 4, 5, 6);
      const runs = [];
      for (let i = 0; i < 20; i++) runs.push(await right(createRunFolder({ root, method: 'tiny', config: { i }, env: {}, now })));
      expect(new Set(runs.map(({ path }) => path)).size).toBe(20);
      expect(runs[0]?.id).toMatch(/^20260203-040506-[0-9a-f]{4}$/);
      expect(await follow(join(root, 'tiny', 'latest'))).toBe(runs[19]?.path);
      expect((await right(openRunFolder(join(root, 'tiny', 'latest')))).record).toEqual({ method: 'tiny', config: { i: 19 } });
      expect((await readdir(runs[3]?.path as string)).sort()).toEqual(['checkpoints', 'config.resolved.json', 'env.json', 'samples']);
    } finally {
      await rm(root, { recursive: true });
    }
  });

  it('says where it could not', async () => {
    const root = await mkdtemp(join(tmpdir(), 'millrace-'));
    await writeFile(join(root, 'file'), '');
    const error = await left(createRunFolder({ root: join(root, 'file'), method: 'tiny', config: {}, env: {} }));
    expect(error.message).toMatch(/file.tiny: expected a folder that can be made and written to but \S+file is a file \(--out names another\)/);
    await rm(root, { recursive: true });
  });
});

describe('openRunFolder', () => {
  it('names what is no run folder', withRun(async (run) => {
    expect((await left(openRunFolder(join(run.path, 'nothing')))).message).toContain('expected a run folder but found nothing');
    expect((await left(openRunFolder(run.samples))).message).toContain('has no config.resolved.json');
    await writeFile(join(run.path, 'config.resolved.json'), '{"method": 3}');
    expect((await left(openRunFolder(run.path))).message).toContain('expected {method, config} but received {"method":3}');
    await writeFile(join(run.path, 'config.resolved.json'), '{"metho');
    expect((await left(openRunFolder(run.path))).message).toContain('expected JSON but received "{\\"metho"');
  }));
});

describe('logs', () => {
  it('write float32 values so that they come back, and say NaN and infinity', () => {
    const third = Math.fround(1 / 3);
    const line = logLine({ step: 3, loss: third, big: 1e30, bad: NaN, worse: -Infinity, name: 'x' });
    expect(line).toBe('{"step":3,"loss":0.333333343,"big":1e+30,"bad":"NaN","worse":"-Infinity","name":"x"}\n');
    expect(Math.fround((JSON.parse(line) as { loss: number }).loss)).toBe(third);
  });

  it('append, read, and are cut back to a step; a torn last line goes', withRun(async (run) => {
    await run.metrics.sync();
    for (let step = 0; step < 5; step++) await run.metrics.append({ step, loss: step / 2 });
    await run.metrics.sync();
    await appendFile(run.metrics.path, '{"step":5,"lo');
    expect((await readLog(run.metrics.path)).map(({ step }) => step)).toEqual([0, 1, 2, 3, 4]);
    await rewindLog(run.metrics.path, 9);
    expect(await readFile(run.metrics.path, 'utf8')).toBe([0, 1, 2, 3, 4].map((step) => `{"step":${step},"loss":${step / 2}}\n`).join(''));
    await rewindLog(run.metrics.path, 3);
    expect((await readLog(run.metrics.path)).map(({ step }) => step)).toEqual([0, 1, 2]);
    await rewindLog(join(run.path, 'missing.jsonl'), 3);
    expect(await readLog(join(run.path, 'missing.jsonl'))).toEqual([]);
  }));

  it('name a line that is no record', withRun(async (run) => {
    await appendFile(run.metrics.path, '{"step":0}\noops\n{"step":2}\n');
    await expect(readLog(run.metrics.path)).rejects.toThrow('metrics.jsonl: expected one JSON record a line but found "oops"');
    await expect(rewindLog(run.metrics.path, 5)).rejects.toThrow('found "oops"');
  }));

  it('are cut back together with what an interrupted write left', withRun(async (run) => {
    await run.metrics.append({ step: 7 });
    await run.timing.append({ step: 7 });
    await writeFile(join(run.checkpoints, '.checkpoint-7.1-0.partial'), '');
    await right(rewindRunFolder(run, 7));
    expect(await readLog(run.metrics.path)).toEqual([]);
    expect(await readLog(run.timing.path)).toEqual([]);
    expect(await readdir(run.checkpoints)).toEqual([]);
  }));
});
