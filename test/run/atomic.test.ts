import { mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { follow, isPartial, pointAt, sweepPartials, writeFileAtomic, writeFolderAtomic, writeSynced } from '../../src/run/atomic.ts';

let home: string;
beforeEach(async () => { home = await mkdtemp(join(tmpdir(), 'millrace-')); });
afterEach(() => rm(home, { recursive: true, force: true }));

describe('writeFileAtomic', () => {
  it('makes and replaces a file and leaves nothing beside it', async () => {
    const path = join(home, 'a.json');
    await writeFileAtomic(path, 'one');
    await writeFileAtomic(path, 'two');
    expect(await readFile(path, 'utf8')).toBe('two');
    expect(await readdir(home)).toEqual(['a.json']);
  });

  it('keeps the old bytes and removes its temporary file when it cannot rename', async () => {
    await mkdir(join(home, 'taken'));
    await expect(writeFileAtomic(join(home, 'taken'), 'x')).rejects.toMatchObject({ code: expect.stringMatching(/EISDIR|EEXIST|ENOTEMPTY|EPERM/) });
    expect(await readdir(home)).toEqual(['taken']);
  });
});

describe('writeFolderAtomic', () => {
  it('shows the folder only when it is whole', async () => {
    const path = join(home, 'checkpoint-3');
    await writeFolderAtomic(path, async (folder) => {
      await writeSynced(join(folder, 'a'), 'a');
      expect((await readdir(home)).every(isPartial)).toBe(true);
      await writeSynced(join(folder, 'b'), 'b');
    });
    expect(await readdir(home)).toEqual(['checkpoint-3']);
    expect((await readdir(path)).sort()).toEqual(['a', 'b']);
  });

  it('leaves nothing when filling fails', async () => {
    await expect(writeFolderAtomic(join(home, 'x'), async (folder) => {
      await writeSynced(join(folder, 'a'), 'a');
      throw new Error('boom');
    })).rejects.toThrow('boom');
    expect(await readdir(home)).toEqual([]);
  });

  it('does not replace a folder with contents', async () => {
    await mkdir(join(home, 'x'));
    await writeFile(join(home, 'x', 'old'), 'old');
    await expect(writeFolderAtomic(join(home, 'x'), (folder) => writeSynced(join(folder, 'new'), 'new'))).rejects.toThrow();
    expect(await readdir(join(home, 'x'))).toEqual(['old']);
    expect(await readdir(home)).toEqual(['x']);
  });
});

describe('sweepPartials', () => {
  it('removes what an interrupted write left, and nothing else', async () => {
    await mkdir(join(home, '.checkpoint-3.12-0.partial'));
    await writeFile(join(home, '.checkpoint-3.12-0.partial', 'a'), 'a');
    await writeFile(join(home, '.keep'), 'a');
    expect(await sweepPartials(home)).toEqual(['.checkpoint-3.12-0.partial']);
    expect(await readdir(home)).toEqual(['.keep']);
    expect(await sweepPartials(join(home, 'missing'))).toEqual([]);
  });
});

describe('pointAt and follow', () => {
  it('makes a link and moves it', async () => {
    await mkdir(join(home, 'one'));
    await mkdir(join(home, 'two'));
    const link = join(home, 'latest');
    await pointAt(link, join(home, 'one'));
    expect(await follow(link)).toBe(join(home, 'one'));
    await pointAt(link, join(home, 'two'));
    expect(await follow(link)).toBe(join(home, 'two'));
    expect((await readdir(home)).sort()).toEqual(['latest', 'one', 'two']);
  });

  it('follows a link that had to be written as text', async () => {
    await mkdir(join(home, 'one'));
    await writeFile(join(home, 'latest'), 'one\n');
    expect(await follow(join(home, 'latest'))).toBe(join(home, 'one'));
  });

  it('returns what is no link as it is', async () => {
    expect(await follow(join(home, 'missing'))).toBe(join(home, 'missing'));
    expect(await follow(home)).toBe(home);
    await writeFile(join(home, 'weights.bin'), Buffer.alloc(10_000));
    expect(await follow(join(home, 'weights.bin'))).toBe(join(home, 'weights.bin'));
    await symlink('nowhere', join(home, 'dangling'));
    expect(await follow(join(home, 'dangling'))).toBe(join(home, 'nowhere'));
  });
});
