import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Coding, contentKey, diskCache, memoryCache, parseBytes } from '../../src/data/cache.ts';
import { fold, permute, seeded } from '../../src/random.ts';

const text: Coding<string> = { toBytes: (value) => Buffer.from(value), fromBytes: (bytes) => Buffer.from(bytes).toString() };
const pause = (time: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, time); });
const making = (log: string[]) => (value: string) => async (): Promise<string> => { log.push(value); return value; };

describe('contentKey', () => {
  it('tells lists of parts apart that join to the same bytes', () => {
    const keys = [contentKey('ab', 'c'), contentKey('a', 'bc'), contentKey('abc'), contentKey(Buffer.from('abc')), contentKey('abc', '')];
    expect(new Set(keys).size).toBe(5);
  });
  it('is SHA-256 over the tagged parts', () => { expect(contentKey('')).toMatch(/^[0-9a-f]{64}$/); });
});

describe('parseBytes', () => {
  it.each([['512MB', 512 * 2 ** 20], ['2 gb', 2 ** 31], ['100', 100], ['1.5KB', 1536]])('reads %s', (given, bytes) => { expect(parseBytes(given)).toBe(bytes); });
  it.each(['', 'much', '-1MB', '5TB'])('refuses %j', (given) => { expect(() => parseBytes(given)).toThrow(/expected a size such as 512MB/); });
});

describe('memoryCache', () => {
  it('makes each value once; what finds no room is not kept until a round begins in which others are not used', async () => {
    const log: string[] = [];
    const make = making(log);
    const cache = memoryCache<string>({ limit: 3, sizeOf: (value) => value.length });
    for (const key of ['a', 'b', 'c', 'a', 'd', 'a', 'b', 'd']) await cache.get(key, make(key));
    expect(log).toEqual(['a', 'b', 'c', 'd', 'd']);
    expect(cache.stats).toEqual({ hits: 3, misses: 5, evictions: 0, bytes: 3, entries: 3 });
    cache.renew();
    // The oldest, c, goes for d; then a for e; b was used again and stays, so that f finds no room.
    for (const key of ['b', 'd', 'e', 'f', 'b', 'd', 'e']) await cache.get(key, make(key));
    expect(log.slice(5)).toEqual(['d', 'e', 'f']);
    expect(cache.stats).toEqual({ hits: 7, misses: 8, evictions: 2, bytes: 3, entries: 3 });
  });

  it('finds in every later round what fits, in whatever order they are used', async () => {
    await fc.assert(fc.asyncProperty(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 0, max: 14 }), fc.integer({ min: 0, max: 1000 }), async (count, limit, seed) => {
      const cache = memoryCache<string>({ limit, sizeOf: () => 1 });
      for (let round = 0; round < 4; round++) {
        const before = cache.stats.misses;
        for (let i = 0; i < count; i++) { const key = `${permute(fold(seeded(seed), round), count, i)}`; await cache.get(key, async () => key); }
        expect(cache.stats.misses - before).toBe(round === 0 ? count : Math.max(0, count - limit));
      }
    }));
  });

  it('hands out what is too large without keeping it', async () => {
    const log: string[] = [];
    const cache = memoryCache<string>({ limit: 2, sizeOf: (value) => value.length });
    expect(await cache.get('k', making(log)('long'))).toBe('long');
    expect(await cache.get('k', making(log)('long'))).toBe('long');
    expect(log).toHaveLength(2);
    expect(cache.stats.bytes).toBe(0);
  });

  it('shares one making among calls at the same time, and forgets one that failed', async () => {
    const log: string[] = [];
    const cache = memoryCache<string>({ limit: 10, sizeOf: (value) => value.length });
    await expect(Promise.all([cache.get('k', async () => { throw new Error('disk'); }), cache.get('k', making(log)('never'))])).rejects.toThrow('disk');
    expect(await Promise.all([cache.get('k', making(log)('v')), cache.get('k', making(log)('w'))])).toEqual(['v', 'v']);
    expect(log).toEqual(['v']);
  });

  it('never gives a value of other content, and never exceeds its bound', async () => {
    await fc.assert(fc.asyncProperty(
      fc.integer({ min: 0, max: 12 }),
      fc.array(fc.oneof(fc.record({ write: fc.integer({ min: 0, max: 4 }), content: fc.string({ maxLength: 6 }) }), fc.record({ read: fc.integer({ min: 0, max: 4 }) })), { maxLength: 40 }),
      async (limit, actions) => {
        const files = new Map<number, string>();
        const cache = memoryCache<string>({ limit, sizeOf: (value) => value.length });
        for (const action of actions) {
          if ('write' in action) files.set(action.write, action.content);
          else {
            const content = files.get(action.read) ?? '';
            expect(await cache.get(contentKey(content, 'size=8'), async () => content.toUpperCase())).toBe(content.toUpperCase());
          }
          expect(cache.stats.bytes).toBeLessThanOrEqual(limit);
        }
      },
    ));
  });

  it('refuses a limit that is none', () => { expect(() => memoryCache({ limit: Number.NaN, sizeOf: () => 1 })).toThrow(/expected a limit in bytes but received NaN/); });
});

describe('diskCache', () => {
  let folder = '';
  beforeEach(async () => { folder = await mkdtemp(join(tmpdir(), 'millrace-cache-')); });
  afterEach(async () => { await rm(folder, { recursive: true, force: true }); });

  it('finds values again in another process\'s place', async () => {
    const log: string[] = [];
    await (await diskCache({ folder, limit: 1000, coding: text })).get('k', making(log)('value'));
    const again = await diskCache({ folder, limit: 1000, coding: text });
    expect(await again.get('k', making(log)('other'))).toBe('value');
    expect(log).toEqual(['value']);
    expect(again.stats).toMatchObject({ hits: 1, misses: 0, bytes: 37 });
  });

  it('makes anew what was truncated or changed on the disk', async () => {
    const cache = await diskCache({ folder, limit: 1000, coding: text });
    await cache.get('k', async () => 'value');
    const file = join(folder, 'k.bin');
    const bytes = await readFile(file);
    for (const broken of [bytes.subarray(0, 34), bytes.subarray(0, 5), Buffer.concat([bytes.subarray(0, 32), Buffer.from('valuf')])]) {
      await writeFile(file, broken);
      expect(await cache.get('k', async () => 'fresh')).toBe('fresh');
    }
  });

  it('stays within its bound and leaves no partial files', async () => {
    const cache = await diskCache({ folder, limit: 100, coding: text });
    const use = async (key: string): Promise<void> => { await cache.get(key, async () => key.repeat(10)); await pause(10); };
    for (const key of ['a', 'b', 'c', 'd']) await use(key);
    expect((await readdir(folder)).sort()).toEqual(['a.bin', 'b.bin']);
    expect(cache.stats).toMatchObject({ bytes: 84, entries: 2, evictions: 0 });
    cache.renew();
    for (const key of ['b', 'c', 'd']) await use(key);
    expect((await readdir(folder)).sort()).toEqual(['b.bin', 'c.bin']);
    expect(cache.stats).toMatchObject({ bytes: 84, entries: 2, evictions: 1 });
    // Of what others left, the oldest goes first.
    await (await diskCache({ folder, limit: 50, coding: text })).get('c', async () => 'x');
    expect(await readdir(folder)).toEqual(['c.bin']);
  });

  it('stays within its bound when several fill it at the same time, and none meets the files of another half-written', async () => {
    const limit = 8000;
    const caches = await Promise.all([0, 1, 2].map(() => diskCache({ folder, limit, coding: text, sharers: 3 })));
    let most = 0;
    for (let round = 0; round < 40; round++) {
      await Promise.all(caches.map((cache, i) => cache.get(`${round}-${i % 2}`, async () => 'x'.repeat(68))));
      const sizes = await Promise.all((await readdir(folder)).map(async (name) => (await stat(join(folder, name))).size));
      most = Math.max(most, sizes.reduce((a, b) => a + b, 0));
      expect(sizes.every((size) => size === 100)).toBe(true);
    }
    expect(most).toBeLessThanOrEqual(limit);
    expect(most).toBeGreaterThan(limit / 2);
  });

  it('hands a value out when the disk refuses it', async () => {
    const cache = await diskCache({ folder, limit: 1000, coding: text });
    await rm(folder, { recursive: true });
    expect(await cache.get('k', async () => 'value')).toBe('value');
    expect(cache.stats.entries).toBe(0);
  });
});
