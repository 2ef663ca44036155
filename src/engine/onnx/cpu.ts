/** The CPU executor: values live in memory that both this thread and the one that runs graphs can see, so nothing is copied between them. */
import { availableParallelism } from 'node:os';
import { engineStatistics as stats } from '../stats.ts';
import type { Executor } from './executor.ts';
import { type Place, Sessions } from './sessions.ts';
import { type Numbers, type Spec, type Stored, bytesOf, numbersOf } from './value.ts';

/** Free memory that is kept for reuse, at most, in bytes. */
const poolBound = 256 * 2 ** 20;

/** Memory blocks by size, reused once no run and no reader needs them. */
class Pool {
  readonly #free = new Map<number, Stored[]>();
  #idle = 0;
  #next = 0;

  /** A block of `bytes`. @param finished with it, only blocks whose last run has this number or an earlier one */
  take(bytes: number, finished = Number.POSITIVE_INFINITY): Stored {
    stats.bytes += bytes;
    stats.peakBytes = Math.max(stats.peakBytes, stats.bytes);
    const list = this.#free.get(bytes);
    const at = list?.findIndex(({ lastUse }) => lastUse <= finished) ?? -1;
    if (list && at >= 0) {
      this.#idle -= bytes;
      const [block] = list.splice(at, 1) as [Stored];
      block.freed = false;
      return block;
    }
    return { id: this.#next++, bytes, buffer: new ArrayBuffer(Math.max(8, bytes)), lastUse: -1, pins: 0, freed: false };
  }

  give(block: Stored): void {
    stats.bytes -= block.bytes;
    if (this.#idle + block.bytes > poolBound) return;
    this.#idle += block.bytes;
    const list = this.#free.get(block.bytes);
    if (list) list.push(block);
    else this.#free.set(block.bytes, [block]);
  }
}

const viewOf = ({ buffer }: Stored, { dtype, size }: Spec): Numbers => numbersOf(dtype, buffer as ArrayBufferLike, 0, size);
const placeOf = ({ stored, spec }: Readonly<{ stored: Stored; spec: Spec }>): Place => ({ buffer: stored.buffer as ArrayBufferLike, shape: spec.shape, dtype: spec.dtype, size: spec.size });

/** Starts the executor. @param threads how many threads share the work of one operation */
export const cpuExecutor = async ({ threads = availableParallelism() }: { threads?: number } = {}): Promise<Executor> => {
  const sessions = new Sessions({ threads });
  const pool = new Pool();
  let runs = 0;
  let finished = -1;
  let queue: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const done = queue.then(work);
    queue = done.catch(() => {});
    return done;
  };
  return {
    device: `${threads} CPU threads`,
    compile: (plan, model) => { void inTurn(async () => { stats.compiling += await sessions.compile(plan, model); }).catch(() => {}); },
    release: (plan) => { void inTurn(() => sessions.release(plan)); },
    allocate: (spec) => pool.take(bytesOf(spec)),
    upload: (spec, numbers) => {
      const stored = pool.take(bytesOf(spec), finished);
      viewOf(stored, spec).set(numbers as Float32Array);
      return stored;
    },
    run: (plan, feeds, results) => {
      const number = runs++;
      for (const { stored } of feeds) stored.lastUse = number;
      for (const { stored } of results) stored.lastUse = number;
      stats.runs++;
      return inTurn(async () => {
        try {
          stats.running += await sessions.run(plan, feeds.map(placeOf), results.map(placeOf));
        } finally {
          finished = number;
        }
      });
    },
    download: async (stored, spec) => viewOf(stored, spec).slice(),
    peek: (stored, spec) => viewOf(stored, spec).slice(),
    free: (stored) => {
      stored.freed = true;
      if (stored.pins === 0) pool.give(stored);
    },
    dispose: () => { void inTurn(() => sessions.dispose()); },
  };
};
