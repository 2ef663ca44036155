/**
 * Files and folders that are either wholly there or not there at all, whenever the process is killed: written under a temporary name beside their
 * place, synced, renamed, and the folder synced. Functions reject with the system's error.
 */
import { mkdir, open, readFile, readdir, readlink, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';

let serial = 0;
/** A name beside `path` that nothing else uses; it starts with a dot and ends in `.partial`. */
const temporary = (path: string): string => join(dirname(path), `.${basename(path)}.${process.pid}-${serial++}.partial`);

/** Whether a file name is one that an interrupted write left behind. */
export const isPartial = (name: string): boolean => name.startsWith('.') && name.endsWith('.partial');

/** Makes a rename inside `folder` durable. Systems that cannot sync a folder (Windows) order renames themselves. */
export const syncFolder = async (folder: string): Promise<void> => {
  const handle = await open(folder, 'r').catch(() => undefined);
  if (handle === undefined) return;
  try {
    await handle.sync().catch((cause: NodeJS.ErrnoException) => {
      if (cause.code !== 'EINVAL' && cause.code !== 'EPERM' && cause.code !== 'EBADF') throw cause;
    });
  } finally {
    await handle.close();
  }
};

/** Writes a new file and waits until its bytes are on the disk. Not atomic by itself. */
export const writeSynced = async (path: string, data: string | Uint8Array): Promise<void> => {
  const handle = await open(path, 'wx');
  try {
    await handle.writeFile(data);
    await handle.sync();
  } finally {
    await handle.close();
  }
};

/** Replaces the file at `path`: a reader sees the old bytes or the new ones. The folder must exist. */
export const writeFileAtomic = async (path: string, data: string | Uint8Array): Promise<void> => {
  const partial = temporary(path);
  try {
    await writeSynced(partial, data);
    await rename(partial, path);
  } catch (cause) {
    await rm(partial, { force: true });
    throw cause;
  }
  await syncFolder(dirname(path));
};

/**
 * Makes a folder of files that appears all at once. `fill` writes into the folder it is given (with `writeSynced`); when it rejects, nothing remains.
 * @throws the system's error, EEXIST or ENOTEMPTY among them when `path` exists
 */
export const writeFolderAtomic = async (path: string, fill: (folder: string) => Promise<void>): Promise<void> => {
  const partial = temporary(path);
  try {
    await mkdir(partial, { recursive: true });
    await fill(partial);
    await syncFolder(partial);
    await rename(partial, path);
  } catch (cause) {
    await rm(partial, { recursive: true, force: true });
    throw cause;
  }
  await syncFolder(dirname(path));
};

/** Removes what interrupted writes left in `folder`; returns their names. */
export const sweepPartials = async (folder: string): Promise<string[]> => {
  const names = (await readdir(folder).catch(() => [] as string[])).filter(isPartial);
  for (const name of names) await rm(join(folder, name), { recursive: true, force: true });
  return names;
};

/** Points `link` at `target`: a relative symbolic link, a junction on Windows, or, where neither can be made, a text file holding the path. */
export const pointAt = async (link: string, target: string): Promise<void> => {
  const to = relative(dirname(resolve(link)), resolve(target)) || '.';
  const partial = temporary(link);
  try {
    try {
      await (process.platform === 'win32' ? symlink(resolve(target), partial, 'junction') : symlink(to, partial));
    } catch {
      await writeFile(partial, `${to}\n`);
    }
    // A junction cannot be renamed over another one.
    if (process.platform === 'win32') await rm(link, { force: true, recursive: false });
    await rename(partial, link);
  } catch (cause) {
    await rm(partial, { force: true });
    throw cause;
  }
};

/** A link written as a text file is no longer than a path can be. */
const longestPath = 4096;

/** Where a link made by `pointAt` leads: an absolute path. Anything else (a folder, a missing path) is returned as it is, made absolute. */
export const follow = async (path: string): Promise<string> => {
  const there = resolve(path);
  const linked = await readlink(there).catch(() => undefined);
  if (linked !== undefined) return resolve(dirname(there), linked);
  const info = await stat(there).catch(() => undefined);
  if (!info?.isFile() || info.size > longestPath) return there;
  const text = (await readFile(there, 'utf8')).trim();
  return text === '' || text.includes('\n') ? there : resolve(dirname(there), text);
};
