import { appendFile, mkdir, mkdtemp, rename, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Observable, type Subscription, filter, firstValueFrom, take, timeout, toArray } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DatasetError } from '../../src/errors.ts';
import { type FileEvent, fileEvents, watchError } from '../../src/streams/fileEvents.ts';
import { fileStates } from '../../src/streams/fileStates.ts';
import { type FolderChange, watchFolder } from '../../src/streams/watchFolder.ts';

let folder: string;
let root: string;
let subscription: Subscription | undefined;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-watch-'));
  root = join(folder, 'pairs');
  await mkdir(root);
});
afterEach(async () => {
  subscription?.unsubscribe();
  await rm(folder, { recursive: true, force: true });
});

const pause = (time: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, time); });
/** Subscribes and waits until the watcher listens. */
const collect = async <T>(make: () => Observable<T>): Promise<T[]> => {
  const seen: T[] = [];
  subscription = make().subscribe((value) => { seen.push(value); });
  await pause(300);
  return seen;
};
const until = async (condition: () => boolean): Promise<void> => {
  for (let i = 0; i < 200 && !condition(); i++) await pause(25);
  expect(condition()).toBe(true);
};
const quiet = 60;
const changes = (): Promise<FolderChange[]> => collect(() => watchFolder(fileEvents(root, { every: 30, ignored: (path) => path.includes('.hidden') }), { look: fileStates(), quiet }));
const place = (name: string): string => join(root, name);

describe('fileEvents', () => {
  it('sees files that are added, changed and removed, in folders made later too', async () => {
    await writeFile(place('old.png'), 'old');
    const seen = await collect(() => fileEvents(root));
    expect(seen).toEqual([]);
    await writeFile(place('a.png'), 'a');
    await mkdir(place('train_A'));
    await writeFile(place('train_A/b.png'), 'b');
    await appendFile(place('old.png'), 'er');
    await until(() => seen.length >= 3);
    await rm(place('a.png'));
    await until(() => seen.some(({ kind }) => kind === 'unlink'));
    const words = new Set(seen.map(({ kind, path }) => `${kind} ${path.slice(root.length + 1)}`));
    for (const word of ['add a.png', 'add train_A/b.png', 'change old.png', 'unlink a.png']) expect(words).toContain(word);
  });

  it('says that the folder is gone, waits for it and watches it anew', async () => {
    await writeFile(place('a.png'), 'a');
    const seen = await collect(() => fileEvents(root, { every: 20 }).pipe(filter(({ kind }) => kind !== 'unlink')));
    await rename(root, `${root}-away`);
    await until(() => seen.at(-1)?.kind === 'gone');
    await rename(`${root}-away`, root);
    await until(() => seen.at(-1)?.kind === 'back');
    await pause(200);
    await writeFile(place('b.png'), 'b');
    await until(() => seen.some(({ path }) => path === place('b.png')));
  });

  it('says nothing after it was unsubscribed', async () => {
    const seen = await collect(() => fileEvents(root, { every: 20 }));
    subscription?.unsubscribe();
    await writeFile(place('a.png'), 'a');
    await rename(root, `${root}-away`);
    await pause(200);
    expect(seen).toEqual([]);
  });

  it('says so when there is no folder to begin with', async () => {
    const [first] = await firstValueFrom(fileEvents(join(folder, 'none')).pipe(take(1), toArray(), timeout(5000)));
    expect(first).toEqual({ kind: 'gone', path: join(folder, 'none') } satisfies FileEvent);
  });

  it('names the limit that is reached and the ways out', () => {
    const watches = watchError('pairs', Object.assign(new Error('ENOSPC: System limit for number of file watchers reached'), { code: 'ENOSPC' }));
    expect(watches).toBeInstanceOf(DatasetError);
    expect(watches.message).toMatch(/^pairs: the system's limit of watched files \(inotify\) is reached; raise it with "sudo sysctl fs\.inotify\.max_user_watches=\d+".*CHOKIDAR_USEPOLLING=1/);
    expect(watchError('pairs', Object.assign(new Error('EMFILE'), { code: 'EMFILE' })).message).toMatch(/max_user_instances/);
    expect(watchError('pairs', Object.assign(new Error('EACCES: no'), { code: 'EACCES' })).message).toBe('pairs: cannot be watched: EACCES: no');
  });
});

describe('watchFolder on real files', () => {
  it('makes one change of many files, and another of a later one', async () => {
    const seen = await changes();
    await Promise.all(Array.from({ length: 300 }, (_, i) => writeFile(place(`${i}.png`), `${i}`)));
    await until(() => seen.length === 1);
    await pause(4 * quiet);
    expect(seen).toHaveLength(1);
    expect(seen[0]).toMatchObject({ kind: 'changed' });
    expect((seen[0] as unknown as { paths: string[] }).paths).toHaveLength(300);
    await writeFile(place('.hidden.png'), 'x');
    await writeFile(place('7.png'), 'seven');
    await until(() => seen.length === 2);
    expect(seen[1]).toEqual({ kind: 'changed', paths: [place('7.png')] });
  });

  it('waits for a writer that is slow', async () => {
    const seen = await changes();
    for (let i = 0; i < 12; i++) {
      await appendFile(place('slow.png'), `part ${i}`);
      await pause(quiet / 2);
      expect(seen).toEqual([]);
    }
    await until(() => seen.length === 1);
  });

  it('tells of the folder being removed and made again as gone, back and one change', async () => {
    await writeFile(place('a.png'), 'a');
    const seen = await changes();
    await rm(root, { recursive: true });
    await until(() => seen.length === 1);
    await mkdir(root);
    await writeFile(place('b.png'), 'b');
    await until(() => seen.some(({ kind }) => kind === 'changed'));
    expect(seen.slice(0, 2)).toEqual([{ kind: 'gone' }, { kind: 'back' }]);
    expect((seen.at(-1) as unknown as { paths: string[] }).paths).toContain(root);
  });
});

describe('fileStates', () => {
  const look = fileStates();
  it('tells equal bytes from others, whatever the size and time', async () => {
    const path = place('a.png');
    const at = new Date(1e12);
    const write = async (text: string): Promise<void> => { await writeFile(path, text); await utimes(path, at, at); };
    await write('abcd');
    await look([path]);
    const before = await look([path]);
    expect(await look([path])).toBe(before);
    await write('abcx');
    expect(await look([path])).not.toBe(before);
    await write('abcd');
    expect(await look([path])).toBe(before);
  });

  it('never says of a growing file that it is still, nor reads it', async () => {
    const path = place('b.png');
    await writeFile(path, 'x');
    const states = new Set([await look([path])]);
    for (let i = 0; i < 5; i++) { await appendFile(path, 'x'); states.add(await look([path])); }
    await truncate(path, 1);
    states.add(await look([path]));
    expect(states.size).toBe(7);
  });

  it('ends early when it is aborted', async () => {
    const control = new AbortController();
    const many = Array.from({ length: 1000 }, (_, i) => place(`${i}.png`));
    const whole = await look(many);
    const cut = look(many, control.signal);
    control.abort();
    expect(await cut).not.toBe(whole);
  });

  it('has a word for files that are missing and for folders', async () => {
    const missing = await look([place('none.png')]);
    expect(await look([place('none.png')])).toBe(missing);
    expect(await look([root])).toBe(await look([root]));
    expect(await look([root])).not.toBe(missing);
  });
});
