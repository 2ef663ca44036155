/**
 * Content-addressed stores, bounded in bytes: what a value was made from is its address, so a stale value cannot be found. They hold decoded images,
 * and latents in the same way: whatever decides the value (file bytes, options, an encoder's weights) goes into the key.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** How a cache has done since it was made. */
export type CacheStats = Readonly<{ hits: number; misses: number; evictions: number; bytes: number; entries: number }>;

export type Cache<V> = Readonly<{
  /** The value at `key`, made when it is not there. Calls for one key at a time share one making; a making that fails is forgotten. */
  get: (key: string, make: () => Promise<V>) => Promise<V>;
  /** Another round of uses begins: what is not used in it may go for what is. */
  renew: () => void;
  readonly stats: CacheStats;
}>;

/** How values become bytes and back. Equal bytes give equal values. */
export type Coding<V> = Readonly<{ toBytes: (value: V) => Uint8Array; fromBytes: (bytes: Uint8Array) => V }>;

/** The address of what is made from these bytes and options: a SHA-256 over all parts, each with its length, so that no two lists of parts are alike. */
export const contentKey = (...parts: readonly (Uint8Array | string)[]): string => {
  const hash = createHash('sha256');
  for (const part of parts) {
    const bytes = typeof part === 'string' ? Buffer.from(part) : part;
    hash.update(`${typeof part === 'string' ? 's' : 'b'}${bytes.length}:`).update(bytes);
  }
  return hash.digest('hex');
};

const units: Readonly<Record<string, number>> = { '': 1, b: 1, kb: 2 ** 10, mb: 2 ** 20, gb: 2 ** 30 };

/** Reads `512MB`, `2 GB` or a number of bytes. @throws RangeError for anything else */
export const parseBytes = (text: string): number => {
  const [, digits, unit = ''] = /^\s*(\d+(?:\.\d+)?)\s*([kmg]?b)?\s*$/i.exec(text) ?? [];
  if (digits === undefined) throw new RangeError(`cache: expected a size such as 512MB but received ${JSON.stringify(text)}`);
  return Math.floor(Number(digits) * (units[unit.toLowerCase()] as number));
};

/**
 * Keys by last use, oldest first, with the bytes of each. What was used since the last `renew` stays: everybody comes round again, so that letting the oldest
 * go for the newest would, with too little room, keep nothing until it is needed.
 */
const ledger = (limit: number) => {
  const entries = new Map<string, Readonly<{ size: number; age: number }>>();
  let [bytes, age] = [0, 0];
  const remove = (key: string): void => { bytes -= entries.get(key)?.size ?? 0; entries.delete(key); };
  return {
    get bytes() { return bytes; },
    get entries() { return entries.size; },
    remove,
    renew: (): void => { age++; },
    clear: (): void => { entries.clear(); bytes = 0; },
    touch: (key: string): void => { const entry = entries.get(key); if (entry !== undefined) { entries.delete(key); entries.set(key, { ...entry, age }); } },
    /** The keys that have to go for a new one of this size; undefined when there is no room for it. */
    room: (size: number): readonly string[] | undefined => {
      let missing = bytes + size - limit;
      const gone: string[] = [];
      for (const [key, entry] of entries) {
        if (missing <= 0 || entry.age === age) break;
        missing -= entry.size;
        gone.push(key);
      }
      return missing <= 0 ? gone : undefined;
    },
    add: (key: string, size: number, isUsed = true): void => { remove(key); entries.set(key, { size, age: isUsed ? age : age - 1 }); bytes += size; },
  };
};

const checkLimit = (name: string, limit: number): void => {
  if (!(limit >= 0)) throw new RangeError(`${name}: expected a limit in bytes but received ${limit}`);
};

const sharing = <V>(find: (key: string, make: () => Promise<V>) => Promise<V>): ((key: string, make: () => Promise<V>) => Promise<V>) => {
  const underWay = new Map<string, Promise<V>>();
  return (key, make) => {
    const present = underWay.get(key);
    if (present) return present;
    const found = find(key, make).finally(() => underWay.delete(key));
    underWay.set(key, found);
    return found;
  };
};

/**
 * Keeps values in memory as far as there is room: the first to come stay, those not used since `renew` go for new ones.
 * @param options.limit bytes in all @param options.sizeOf bytes of one value
 */
export const memoryCache = <V>({ limit, sizeOf }: { limit: number; sizeOf: (value: V) => number }): Cache<V> => {
  checkLimit('memoryCache', limit);
  const values = new Map<string, V>();
  const book = ledger(limit);
  let [hits, misses, evictions] = [0, 0, 0];
  return {
    get: sharing(async (key, make) => {
      if (values.has(key)) {
        hits++;
        book.touch(key);
        return values.get(key) as V;
      }
      misses++;
      const value = await make();
      const size = sizeOf(value);
      const gone = book.room(size);
      if (gone === undefined) return value;
      for (const old of gone) { book.remove(old); values.delete(old); evictions++; }
      values.set(key, value);
      book.add(key, size);
      return value;
    }),
    renew: book.renew,
    get stats() { return { hits, misses, evictions, bytes: book.bytes, entries: book.entries }; },
  };
};

const digest = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

/**
 * Keeps values as files as far as there is room: those used since this cache was made, or since `renew`, stay; of the others the ones used longest ago go
 * first. Each file begins with the SHA-256 of its content and is renamed into place: what a crash or a full disk left is not believed and made anew. A value
 * that cannot be written is handed out all the same.
 * @param options.limit bytes in all @param options.folder made when absent
 * @param options.sharers caches that fill the folder at the same time: each looks at it again before they could exceed the limit together
 */
export const diskCache = async <V>({ folder, limit, coding, sharers = 1 }: { folder: string; limit: number; coding: Coding<V>; sharers?: number }): Promise<Cache<V>> => {
  checkLimit('diskCache', limit);
  await mkdir(folder, { recursive: true });
  // What all of them may write between two looks fits into the margin.
  const margin = sharers > 1 ? limit / 8 : 0;
  const book = ledger(limit - margin);
  let [hits, misses, evictions, written, since] = [0, 0, 0, 0, Date.now()];
  const at = (key: string): string => join(folder, `${key}.bin`);
  const evict = async (keys: readonly string[]): Promise<void> => {
    evictions += keys.length;
    for (const key of keys) book.remove(key);
    await Promise.all(keys.map((key) => rm(at(key), { force: true })));
  };
  const look = async (): Promise<void> => {
    const names = (await readdir(folder)).filter((name) => name.endsWith('.bin'));
    const found = await Promise.all(names.map(async (name) => ({ key: name.slice(0, -'.bin'.length), info: await stat(join(folder, name)).catch(() => undefined) })));
    found.sort((a, b) => (a.info?.mtimeMs ?? 0) - (b.info?.mtimeMs ?? 0));
    book.clear();
    for (const { key, info } of found) if (info) book.add(key, info.size, info.mtimeMs >= since);
    written = 0;
    await evict(book.room(0) ?? []);
  };
  await look();
  const read = async (key: string): Promise<V | undefined> => {
    const file = await readFile(at(key)).catch(() => undefined);
    if (file === undefined || file.length < 32) return undefined;
    const content = file.subarray(32);
    return digest(content).equals(file.subarray(0, 32)) ? coding.fromBytes(content) : undefined;
  };
  const write = async (key: string, value: V): Promise<void> => {
    const content = coding.toBytes(value);
    const size = content.length + 32;
    const partial = join(folder, `.${key}.${randomUUID()}.partial`);
    try {
      if (sharers > 1 && written + size > margin / sharers) await look();
      const gone = book.room(size);
      if (gone === undefined) return;
      await evict(gone);
      await writeFile(partial, Buffer.concat([digest(content), content]));
      await rename(partial, at(key));
      book.add(key, size);
      written += size;
    } catch {
      await rm(partial, { force: true }).catch(() => {});
    }
  };
  return {
    get: sharing(async (key, make) => {
      const stored = await read(key);
      if (stored !== undefined) {
        hits++;
        book.touch(key);
        const now = new Date();
        await utimes(at(key), now, now).catch(() => {});
        return stored;
      }
      misses++;
      book.remove(key);
      const value = await make();
      await write(key, value);
      return value;
    }),
    renew: () => { book.renew(); since = Date.now(); },
    get stats() { return { hits, misses, evictions, bytes: book.bytes, entries: book.entries }; },
  };
};
