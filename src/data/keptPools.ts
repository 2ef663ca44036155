import { type DecodePool, type PoolOptions, decodePool } from './decodePool.ts';

/** Lends out decode pools and keeps them when they are given back. */
export type KeptPools = Readonly<{
  /** A pool with these options: one that was given back, with what it has decoded, or a new one. Its `close` gives it back. */
  open: (options: PoolOptions) => DecodePool;
  /** Closes those that are here, and from now on each when it is given back. */
  close: () => void;
}>;

/** Pools that outlast the runs that use them: when a dataset has changed, the next run decodes what is different and nothing else. */
export const keptPools = (make: (options: PoolOptions) => DecodePool = decodePool): KeptPools => {
  const resting = new Map<string, DecodePool>();
  let isClosed = false;
  return {
    open: ({ workers, cache, folder }) => {
      const key = JSON.stringify([workers, cache, folder]);
      const pool = resting.get(key) ?? make({ workers, cache, folder });
      resting.delete(key);
      pool.renew();
      return {
        decode: pool.decode,
        renew: pool.renew,
        get stats() { return pool.stats; },
        get crashed() { return pool.crashed; },
        close: () => {
          if (isClosed || pool.crashed !== undefined || resting.has(key)) pool.close();
          else resting.set(key, pool);
        },
      };
    },
    close: () => {
      isClosed = true;
      for (const pool of resting.values()) pool.close();
      resting.clear();
    },
  };
};
