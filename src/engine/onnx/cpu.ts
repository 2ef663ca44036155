/** The CPU executor: values live in memory that both this thread and the one that runs graphs can see, so nothing is copied between them. */
import { availableParallelism } from 'node:os';
import { engineStatistics as stats } from '../stats.ts';
import type { Executor } from './executor.ts';
import { localRunner, workerRunner } from './runner.ts';
import type { Place } from './sessions.ts';
import { type Numbers, type Spec, type Stored, bytesOf, numbersOf } from './value.ts';

/** Free memory that is kept for reuse, at most, in bytes. */
const poolBound = 256 * 2 ** 20;

/** Memory blocks by size, reused once no run and no reader needs them. */
class Pool {
  readonly #free = new Map<number, Stored[]>();
  readonly #forget: (block: number) => void;
  readonly #shared: boolean;
  #idle = 0;
  #next = 0;

  /** @param shared whether another thread must see the memory; @param forget is told of blocks that are let go */
  constructor(shared: boolean, forget: (block: number) => void) { this.#shared = shared; this.#forget = forget; }

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
    return { id: this.#next++, bytes, buffer: this.#shared ? new SharedArrayBuffer(Math.max(8, bytes)) : new ArrayBuffer(Math.max(8, bytes)), lastUse: -1, pins: 0, freed: false };
  }

  give(block: Stored): void {
    stats.bytes -= block.bytes;
    if (this.#idle + block.bytes > poolBound) { this.#forget(block.id); return; }
    this.#idle += block.bytes;
    const list = this.#free.get(block.bytes);
    if (list) list.push(block);
    else this.#free.set(block.bytes, [block]);
  }
}

const viewOf = ({ buffer }: Stored, { dtype, size }: Spec): Numbers => numbersOf(dtype, buffer as ArrayBufferLike, 0, size);
const placeOf = ({ stored, spec }: Readonly<{ stored: Stored; spec: Spec }>): Place => ({ block: stored.id, buffer: stored.buffer as ArrayBufferLike, shape: spec.shape, dtype: spec.dtype, size: spec.size });

/** Whether a worker can run this project's files and see memory it shares: from Node 22.18 on, which runs TypeScript. */
export const workersWork = (): boolean => Boolean(process.features.typescript);

/**
 * Starts the executor.
 * @param threads how many threads share the work of one operation
 * @param worker whether graphs run in a thread of their own
 */
export const cpuExecutor = async ({ threads = availableParallelism(), worker = workersWork() }: { threads?: number; worker?: boolean } = {}): Promise<Executor> => {
  const runner = worker ? await workerRunner({ threads }) : localRunner({ threads });
  const pool = new Pool(worker, runner.forget);
  let runs = 0;
  let finished = -1;
  return {
    device: `${threads} CPU thread${threads === 1 ? '' : 's'}`,
    compile: (plan, model) => { runner.compile(plan, model).then((seconds) => { stats.compiling += seconds; }, () => {}); },
    release: (plan) => { runner.release(plan).catch(() => {}); },
    allocate: (spec) => pool.take(bytesOf(spec)),
    upload: (spec, numbers) => {
      const stored = pool.take(bytesOf(spec), finished);
      viewOf(stored, spec).set(numbers as Float32Array);
      return stored;
    },
    run: async (plan, feeds, results) => {
      const number = runs++;
      for (const { stored } of feeds) stored.lastUse = number;
      for (const { stored } of results) stored.lastUse = number;
      stats.runs++;
      try {
        stats.running += await runner.run(plan, feeds.map(placeOf), results.map(placeOf));
      } finally {
        finished = number;
      }
    },
    download: async (stored, spec) => viewOf(stored, spec).slice(),
    peek: (stored, spec) => viewOf(stored, spec).slice(),
    free: (stored) => {
      stored.freed = true;
      if (stored.pins === 0) pool.give(stored);
    },
    dispose: () => { void runner.dispose(); },
  };
};
