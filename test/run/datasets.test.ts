import { appendFile, copyFile, mkdir, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Dataset } from '../../src/data/dataset.ts';
import { datasetsOnDisk } from '../../src/run/datasets.ts';
import type { Rescan } from '../../src/run/watch.ts';
import { tinyPng } from '../support/images.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'millrace-pairs-'));
  for (const folder of ['train_A', 'train_B', 'test_A', 'test_B']) await mkdir(join(root, folder));
  for (const name of ['train_A/1.png', 'train_B/1.png', 'train_A/2.png', 'train_B/2.png', 'test_A/9.png', 'test_B/9.png']) await write(name);
});
afterEach(async () => { await rm(root, { recursive: true }); });

// What a scan looks at is names, bytes and headers; nothing is decoded.
const write = (name: string, text = name): Promise<void> => writeFile(join(root, name), name.endsWith('.png') ? tinyPng(text) : text);
const open = async (): Promise<Dataset> => {
  const found = await datasetsOnDisk.open(root)();
  if (E.isLeft(found)) throw found.left;
  return found.right;
};
const rescan = async (known: Dataset): Promise<Rescan<Dataset>> => {
  const found = await datasetsOnDisk.rescan(known)();
  if (E.isLeft(found)) throw found.left;
  return found.right;
};

describe('datasetsOnDisk', () => {
  it('says what was found, and some of what is not used', async () => {
    for (let i = 0; i < 8; i++) await write(`train_A/alone${i}.png`);
    const lines = datasetsOnDisk.describe(await open());
    expect(lines[0]).toMatch(/2 pairs to train on, 1 held out/);
    expect(lines).toHaveLength(7);
    expect(lines[1]).toMatch(/^unused train_A\/alone0\.png: expected its twin/);
    expect(lines.at(-1)).toBe('and 3 more (node pipelines/check.ts lists all)');
  });

  it('finds no difference in a folder that was only touched', async () => {
    const known = await open();
    const later = new Date(Date.now() + 10_000);
    await utimes(join(root, 'train_A/1.png'), later, later);
    await write('notes.txt');
    expect(await rescan(known)).toMatchObject({ differs: false, lines: ['no file is different'] });
  });

  it('waits for the twin of a new file, and trains when it is there', async () => {
    const known = await open();
    await write('train_A/3.png');
    const half = await rescan(known);
    expect(half.differs).toBe(false);
    expect(half.lines).toEqual(['added 1 file: train_A/3.png', expect.stringMatching(/^waiting: train_A\/3\.png: expected its twin train_B\/3/)]);
    await write('train_B/3.png');
    expect(await rescan(half.dataset)).toMatchObject({ differs: true, lines: ['added 1 file: train_B/3.png', '3 pairs to train on (2 before), 1 held out (1 before)'] });
  });

  it('sees an edit, a removal and a pair that moved to the held-out ones', async () => {
    const known = await open();
    await appendFile(join(root, 'train_B/2.png'), 'edited');
    const edited = await rescan(known);
    expect(edited).toMatchObject({ differs: true });
    expect(edited.lines[0]).toBe('changed 1 file: train_B/2.png');
    for (const side of ['A', 'B']) {
      await copyFile(join(root, `train_${side}/1.png`), join(root, `test_${side}/1.png`));
      await rm(join(root, `train_${side}/1.png`));
    }
    expect((await rescan(edited.dataset)).lines).toEqual([
      'added 2 files: test_A/1.png, test_B/1.png', 'removed 2 files: train_A/1.png, train_B/1.png', '1 pairs to train on (2 before), 2 held out (1 before)',
    ]);
  });

  it('says when nothing is left', async () => {
    const known = await open();
    for (const folder of ['train_A', 'train_B', 'test_A', 'test_B']) await rm(join(root, folder), { recursive: true });
    await expect(rescan(known)).rejects.toThrow(/expected image files but found none/);
    await rm(root, { recursive: true });
    await expect(rescan(known)).rejects.toThrow(/does not exist/);
    await mkdir(root);
  });
});
