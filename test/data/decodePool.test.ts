import { join } from 'node:path';
import { firstValueFrom, lastValueFrom, toArray } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { fixtures } from '../../fixtures/index.ts';
import { drawPlan, restPlan } from '../../src/data/augmentations/augmentation.ts';
import { rotate } from '../../src/data/augmentations/rotate.ts';
import type { PairFile } from '../../src/data/dataset.ts';
import { type PairPixels, pairDecoder, workingCache } from '../../src/data/decodePair.ts';
import { type DecodePool, type PoolOptions, decodePool } from '../../src/data/decodePool.ts';
import { seeded } from '../../src/random.ts';

const pair = (view: number | string): PairFile => {
  const image = (folder: string) => ({ path: `${folder}/${view}`, file: join(fixtures.tiny.root, folder, `scene0-view${view}.png`), bytes: 0, mtimeMs: 0, hash: '', part: 'whole' as const });
  return { id: `${view}`, source: image('train_A'), target: image('train_B') };
};
const requestOf = (views: readonly (number | string)[], { strict = false, spares = [] as readonly PairFile[] } = {}) => ({ jobs: views.map((view) => ({ pair: pair(view), spares, plan: restPlan })), size: 16, magnifies: 1, strict });
const using = async <T>(options: Partial<PoolOptions>, work: (pool: DecodePool) => Promise<T>): Promise<T> => {
  const pool = decodePool({ workers: 2, cache: 'off', folder: '', ...options });
  try { return await work(pool); } finally { pool.close(); }
};
const plain = (pixels: readonly PairPixels[]) => pixels.map(({ id, source, target, broken }) => ({ id, source: [...source], target: [...target], broken }));

describe('decodePool', () => {
  it('gives what this thread would give, in the order of the jobs, whatever the workers', async () => {
    const decode = pairDecoder(await workingCache('off', ''));
    const request = requestOf([3, 0, 5, 3, 1]);
    const here = await Promise.all(request.jobs.map((job) => decode(job, request)));
    for (const workers of [1, 3]) {
      await using({ workers }, async (pool) => {
        const emitted = await lastValueFrom(pool.decode(request).pipe(toArray()));
        expect(emitted).toHaveLength(1);
        expect(plain(emitted[0] as readonly PairPixels[])).toEqual(plain(here));
      });
    }
  });

  it('decodes nothing twice with a cache that has room, over batches and threads', async () => {
    await using({ cache: '8MB' }, async (pool) => {
      for (let epoch = 0; epoch < 3; epoch++) await Promise.all([requestOf([0, 1, 2, 3]), requestOf([4, 5, 6, 7])].map((request) => firstValueFrom(pool.decode(request))));
      expect(pool.stats).toMatchObject({ misses: 16, hits: 32 });
    });
  });

  it('gives every thread as much to keep, so that a cache that holds all the images is enough', async () => {
    // Sixteen images of 16 x 16 x 3 bytes.
    await using({ cache: `${16 * 768}`, workers: 4 }, async (pool) => {
      for (let epoch = 0; epoch < 3; epoch++) await firstValueFrom(pool.decode(requestOf([0, 1, 2, 3, 4, 5, 6, 7])));
      expect(pool.stats).toMatchObject({ misses: 16, hits: 32 });
    });
    await using({ cache: `${8 * 768}`, workers: 4 }, async (pool) => {
      for (let epoch = 0; epoch < 3; epoch++) await firstValueFrom(pool.decode(requestOf([7, 5, 3, 1, 0, 2, 4, 6])));
      expect(pool.stats).toMatchObject({ misses: 32, hits: 16 });
    });
  });

  it('tells what the time went into, for a pair and for all threads', async () => {
    await using({ workers: 2 }, async (pool) => {
      const begun = performance.now();
      const turned = requestOf([0, 1, 2, 3]);
      const jobs = turned.jobs.map((job) => ({ ...job, plan: drawPlan([rotate(20)], seeded(1)) }));
      const pixels = [...await firstValueFrom(pool.decode(turned)), ...await firstValueFrom(pool.decode({ ...turned, jobs, size: 256 }))];
      const passed = (performance.now() - begun) / 1000;
      const { seconds } = pool.stats;
      const sum = (part: 'disk' | 'decode' | 'augment'): number => pixels.reduce((total, { spent }) => total + spent[part], 0);
      for (const part of ['disk', 'decode', 'augment'] as const) {
        expect(seconds[part]).toBeCloseTo(sum(part), 9);
        expect(seconds[part]).toBeGreaterThan(0);
      }
      // At rest nothing is augmented.
      expect(pixels.slice(0, 4).map(({ spent }) => spent.augment)).toEqual([0, 0, 0, 0]);
      expect(pixels.slice(4).every(({ spent }) => spent.augment > 0)).toBe(true);
      expect(seconds.disk + seconds.decode + seconds.augment + seconds.idle).toBeLessThan(2 * passed);
    });
  });

  it('takes spares, and fails with the file where it is strict', async () => {
    await using({}, async (pool) => {
      const [first] = await firstValueFrom(pool.decode(requestOf(['none', 1], { spares: [pair(2)] })));
      expect(first).toMatchObject({ id: '2', broken: [{ path: pair('none').source.file, why: expect.stringMatching(/expected a file but it is gone$/) as string }] });
      await expect(firstValueFrom(pool.decode(requestOf(['none', 1], { strict: true })))).rejects.toMatchObject({ _tag: 'DecodeError', subject: pair('none').source.file });
      expect(await firstValueFrom(pool.decode(requestOf([1])))).toHaveLength(1); // and goes on
    });
  });

  it.runIf(process.features.typescript)('does not begin what nobody waits for any more', async () => {
    await using({ workers: 1, cache: '8MB' }, async (pool) => {
      pool.decode(requestOf([0, 1, 2, 3, 4, 5, 6, 7])).subscribe().unsubscribe();
      await firstValueFrom(pool.decode(requestOf([0])));
      expect(pool.stats.misses).toBeLessThan(8);
    });
  });

  it.each([[{ workers: 0 }, /workers to be a positive integer but received 0/], [{ cache: 'much' }, /expected a size such as 512MB/]])('refuses %j', (options, message) => {
    expect(() => decodePool({ workers: 1, cache: 'off', folder: '', ...options })).toThrow(message);
  });
});
