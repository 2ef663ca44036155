import { EventEmitter } from 'node:events';
import { appendFile, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Subscription, firstValueFrom, take, timeout, toArray } from 'rxjs';
import { watch } from 'chokidar';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DatasetError } from '../../src/errors.ts';
import { type FileEvent, fileEvents, watchError } from '../../src/streams/fileEvents.ts';
import { fileStates } from '../../src/streams/fileStates.ts';
import { type FolderChange, watchFolder } from '../../src/streams/watchFolder.ts';

vi.mock('chokidar', async (original) => {
  const real = await original<typeof import('chokidar')>();
  return { ...real, watch: vi.fn(real.watch) };
});

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
const until = async (condition: () => boolean): Promise<void> => {
  for (let i = 0; i < 200 && !condition(); i++) await pause(25);
  expect(condition()).toBe(true);
};
/** Subscribes and waits until the watcher listens; what it says from then on. */
const collect = async (options: Parameters<typeof fileEvents>[1] = {}): Promise<FileEvent[]> => {
  const seen: FileEvent[] = [];
  subscription = fileEvents(root, options).subscribe((event) => { seen.push(event); });
  await until(() => seen.some(({ kind }) => kind === 'ready'));
  expect(seen.splice(0)).toEqual([{ kind: 'ready', path: root }]);
  return seen;
};
const quiet = 60;
/** The same for changes; the one that names no file comes first. */
const changes = async (): Promise<FolderChange[]> => {
  const seen: FolderChange[] = [];
  subscription = watchFolder(fileEvents(root, { every: 30, ignored: (path) => path.includes('.hidden') }), { look: fileStates(), quiet }).subscribe((change) => { seen.push(change); });
  await until(() => seen.length > 0);
  expect(seen.splice(0)).toEqual([{ kind: 'changed', paths: [] }]);
  return seen;
};
const place = (name: string): string => join(root, name);

describe('fileEvents', () => {
  it('sees files that are added, changed and removed, in folders made later too', async () => {
    await writeFile(place('old.png'), 'old');
    const seen = await collect();
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
    const seen = await collect({ every: 20 });
    await rename(root, `${root}-away`);
    await until(() => seen.some(({ kind }) => kind === 'gone'));
    await rename(`${root}-away`, root);
    await until(() => seen.at(-1)?.kind === 'ready');
    expect(seen.filter(({ kind }) => kind !== 'unlink').map(({ kind }) => kind)).toEqual(['gone', 'back', 'ready']);
    await writeFile(place('b.png'), 'b');
    await until(() => seen.some(({ path }) => path === place('b.png')));
  });

  it('says nothing after it was unsubscribed', async () => {
    const seen = await collect({ every: 20 });
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

  it.each([['ENOSPC', 'max_user_watches'], ['EMFILE', 'max_user_instances']])('fails, with the way out, when the system refuses to watch with %s', async (code, setting) => {
    const watcher = new EventEmitter() as EventEmitter & { close: () => Promise<void> };
    const close = vi.fn(() => Promise.resolve());
    watcher.close = close;
    vi.mocked(watch).mockReturnValueOnce(watcher as unknown as ReturnType<typeof watch>);
    const failure = new Promise((resolve) => { subscription = fileEvents(root).subscribe({ error: resolve }); });
    await until(() => watcher.listenerCount('error') > 0);
    watcher.emit('error', Object.assign(new Error(`${code}: no more`), { code }));
    expect(await failure).toBeInstanceOf(DatasetError);
    expect(String(await failure)).toContain(setting);
    expect(close).toHaveBeenCalledTimes(1);
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
  it('makes one change of a storm, and another of a later one', async () => {
    const seen = await changes();
    for (let round = 0; round < 2; round++) await Promise.all(Array.from({ length: 400 }, (_, i) => writeFile(place(`${i}.png`), `${round} ${i}`)));
    await until(() => seen.length === 1);
    await pause(4 * quiet);
    expect(seen).toHaveLength(1);
    expect(seen[0]).toMatchObject({ kind: 'changed' });
    expect((seen[0] as unknown as { paths: string[] }).paths).toHaveLength(400);
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
