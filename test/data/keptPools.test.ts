import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NEVER, firstValueFrom } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { fixtures } from '../../fixtures/index.ts';
import { restPlan } from '../../src/data/augmentations/augmentation.ts';
import type { PairFile } from '../../src/data/dataset.ts';
import type { DecodePool, PoolOptions } from '../../src/data/decodePool.ts';
import { keptPools } from '../../src/data/keptPools.ts';

/** Pools that only count. */
const counting = () => {
  const log: string[] = [];
  let crashed: Error | undefined;
  const make = ({ workers }: PoolOptions): DecodePool => {
    log.push(`open ${workers}`);
    return { decode: () => NEVER, renew: () => { log.push('renew'); }, close: () => { log.push(`close ${workers}`); }, get crashed() { return crashed; }, stats: { hits: 0, misses: 0, seconds: { disk: 0, decode: 0, augment: 0, idle: 0 } } };
  };
  return { log, make, crash: () => { crashed = new Error('no memory'); } };
};
const options = (workers: number): PoolOptions => ({ workers, cache: '1MB', folder: '' });

describe('keptPools', () => {
  it('keeps a pool that is given back for the next who asks for the same, and closes what is left', () => {
    const { log, make } = counting();
    const pools = keptPools(make);
    pools.open(options(1)).close();
    const [again, other] = [pools.open(options(1)), pools.open(options(2))];
    again.close();
    expect(log).toEqual(['open 1', 'renew', 'renew', 'open 2', 'renew']);
    pools.close();
    other.close();
    expect(log.slice(5)).toEqual(['close 1', 'close 2']);
  });

  it('closes one of two alike, and one that crashed', () => {
    const { log, make, crash } = counting();
    const pools = keptPools(make);
    const [one, two] = [pools.open(options(1)), pools.open(options(1))];
    one.close();
    two.close();
    expect(log).toEqual(['open 1', 'renew', 'open 1', 'renew', 'close 1']);
    crash();
    pools.open(options(1)).close();
    expect(log.slice(5)).toEqual(['renew', 'close 1']);
    pools.close();
    expect(log).toHaveLength(7);
  });

  it('has what a run before decoded: an edited file is decoded anew, and nothing else', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'millrace-kept-'));
    const pools = keptPools();
    try {
      const image = (view: number) => ({ path: `${view}`, file: join(folder, `${view}.png`), bytes: 0, mtimeMs: 0, hash: '', part: 'whole' as const });
      const put = (view: number, from: number): Promise<void> => copyFile(join(fixtures.tiny.root, 'train_A', `scene0-view${from}.png`), image(view).file);
      for (const view of [0, 1, 2, 3]) await put(view, view);
      const jobs = [0, 2].map((view) => ({ pair: { id: `${view}`, source: image(view), target: image(view + 1) } satisfies PairFile, spares: [], plan: restPlan }));
      const run = async () => {
        const pool = pools.open({ workers: 2, cache: '1MB', folder: '' });
        const pixels = await firstValueFrom(pool.decode({ jobs, size: 16, magnifies: 1, strict: true }));
        const { hits, misses } = pool.stats;
        pool.close();
        return { pixels, hits, misses };
      };
      expect(await run()).toMatchObject({ hits: 0, misses: 4 });
      await put(3, 5);
      const after = await run();
      expect(after).toMatchObject({ hits: 3, misses: 5 });
      await put(0, 5);
      const equal = await run();
      expect(equal.pixels[0]?.source).toEqual(after.pixels[1]?.target);
    } finally {
      pools.close();
      await rm(folder, { recursive: true });
    }
  });
});
