/** A training process whose disk is full for a while. */
import { appendFileSync, existsSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listCheckpoints, verifyCheckpoint } from '../../src/run/checkpoint.ts';
import { right } from '../run/support.ts';
import { remains, runIn, train } from './processes.ts';
import { tinyDisk } from './tinyDisk.ts';

/** Takes all the room there is. */
const fill = (path: string): void => {
  writeFileSync(path, '');
  for (const size of [65_536, 4096, 1]) {
    try { for (;;) appendFileSync(path, Buffer.alloc(size)); } catch (cause) { if ((cause as NodeJS.ErrnoException).code !== 'ENOSPC') throw cause; }
  }
};

describe('a run on a full disk', () => {
  let home: string;
  let whole: Record<string, string>;
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'millrace-full-'));
    expect(await train(home)).toMatchObject({ code: 0 });
    whole = await remains(join(home, 'tiny'));
  });
  afterAll(() => rm(home, { recursive: true, force: true }));

  it('trains on, loses no line, and saves again when there is room', async (context) => {
    const disk = await tinyDisk('2m');
    if (typeof disk === 'string') return context.skip(disk);
    try {
      const filler = join(disk.path, 'filler');
      let during: number[] = [];
      const ended = await train(disk.path, { watch: (line) => {
        if (line === 'step 7') fill(filler);
        if (line === 'step 12') void runIn(disk.path).then((run) => listCheckpoints(join(run, 'checkpoints'))).then((places) => { during = places.map(({ step }) => step); return rm(filler); });
      } });
      expect(ended, ended.errors).toMatchObject({ code: 0 });
      expect(during).toEqual([5]);
      const left = await remains(join(disk.path, 'tiny'));
      // Strips that were due while the disk was full are missing; all else is there.
      expect(left).toEqual(Object.fromEntries(Object.entries(whole).filter(([name]) => name in left)));
      expect(Object.keys(whole).filter((name) => !(name in left))).toEqual([join('samples', 'step-00000010.png')]);
    } finally {
      await disk.remove();
    }
  });

  it('ends with the error when the last checkpoint finds no room, and the one before is whole', async (context) => {
    const disk = await tinyDisk('2m');
    if (typeof disk === 'string') return context.skip(disk);
    try {
      const filler = join(disk.path, 'filler');
      const ended = await train(disk.path, { watch: (line) => { if (line === 'step 22') fill(filler); } });
      expect(ended.code).toBe(1);
      expect(ended.errors).toMatch(/checkpoint-30: the disk is full: expected room for [\d.]+ kB but found [\d.]+ kB \(intact: checkpoint-20, checkpoint-15, checkpoint-10/);
      const run = await runIn(disk.path);
      for (const { path } of await listCheckpoints(join(run, 'checkpoints'))) await right(verifyCheckpoint(path));
      expect(existsSync(filler)).toBe(true);
      await rm(filler);
      expect(await train(disk.path)).toMatchObject({ code: 0, lines: expect.arrayContaining(['start 20', 'done']) });
      expect(await remains(join(disk.path, 'tiny'))).toEqual(whole);
    } finally {
      await disk.remove();
    }
  });
});
