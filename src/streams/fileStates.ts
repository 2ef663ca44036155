import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

const hashOf = async (path: string): Promise<string> => {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  return hash.digest('hex');
};

const statOf = (path: string) => stat(path, { bigint: true }).catch(() => undefined);

/**
 * Makes a function that tells the state of some files in a word: equal words for equal bytes. It remembers sizes and times from look to look and reads only
 * files whose size and time stayed as they were, since the others are still being written. Of a folder it tells the names, sizes and times of all that is in
 * it. A look that is aborted ends early, with a word that means nothing.
 * @param options.parallel files read at the same time @param options.ignored files and folders that do not count in a folder
 */
export const fileStates = ({ parallel = 4, ignored = () => false }: { parallel?: number; ignored?: (path: string) => boolean } = {}): ((paths: readonly string[], signal?: AbortSignal) => Promise<string>) => {
  const seen = new Map<string, string>();
  let looks = 0;
  const inTurns = async (paths: readonly string[], signal: AbortSignal | undefined, tell: (path: string) => Promise<string>): Promise<string[]> => {
    const states: string[] = [];
    for (let i = 0; i < paths.length && !signal?.aborted; i += parallel) states.push(...await Promise.all(paths.slice(i, i + parallel).map(tell)));
    return states;
  };
  const listing = async (folder: string, signal: AbortSignal | undefined, depth = 0): Promise<string> => {
    const names = (await readdir(folder).catch(() => [])).toSorted();
    const within = await inTurns(names.map((name) => join(folder, name)).filter((path) => !ignored(path)), signal, async (path) => {
      const info = await statOf(path);
      return `${path} ${info?.isDirectory() && depth < 8 ? await listing(path, signal, depth + 1) : `${info?.size} ${info?.mtimeNs}`}`;
    });
    return JSON.stringify(within);
  };
  return async (paths, signal) => {
    looks++;
    const asked = new Set(paths);
    for (const path of seen.keys()) if (!asked.has(path)) seen.delete(path);
    const states = await inTurns(paths, signal, async (path) => {
      const info = await statOf(path);
      if (info === undefined) return 'missing';
      if (info.isDirectory()) return listing(path, signal);
      const outside = `${info.size} ${info.mtimeNs}`;
      const same = seen.get(path) === outside;
      seen.set(path, outside);
      return same ? hashOf(path).catch(() => 'missing') : `${outside}, look ${looks}`;
    });
    return createHash('sha256').update(JSON.stringify(states)).digest('hex');
  };
};
