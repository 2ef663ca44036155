/** What runs graphs for the lazy backend. Calls are carried out in the order they are made. */
import { engineStatistics as stats } from '../stats.ts';
import type { Target } from './graph.ts';
import type { Runner } from './runner.ts';
import type { Place } from './sessions.ts';
import { type Numbers, type Spec, type Stored, bytesOf, numbersOf } from './value.ts';

/** A value for a graph to read or write. */
export type Fed = Readonly<{ stored: Stored; spec: Spec }>;

export type Executor = Readonly<{
  /** The device in words. */
  device: string;
  /** What graphs are written for. */
  target: Target;
  /** Makes a session of a model with results of these specs. A failure shows when it is run. */
  compile: (plan: number, model: Uint8Array, results: readonly Spec[]) => void;
  /** Frees a session once the runs before have ended. */
  release: (plan: number) => void;
  /** Room for a result. */
  allocate: (spec: Spec) => Stored;
  /** A value that holds given numbers. */
  upload: (spec: Spec, numbers: Numbers) => Stored;
  /** Runs a plan; its results are written to `results`, in order. */
  run: (plan: number, feeds: readonly Fed[], results: readonly Fed[]) => Promise<void>;
  /** A copy of stored numbers, once the runs before have ended. */
  download: (stored: Stored, spec: Spec) => Promise<Numbers>;
  /** The same at once, where the JS thread can see the memory. Only for values whose run has ended. */
  peek: (stored: Stored, spec: Spec) => Numbers | undefined;
  /** Gives a value back; runs that were asked for before may still use it. */
  free: (stored: Stored) => void;
  dispose: () => Promise<void>;
}>;

const counted = (bytes: number): void => {
  stats.bytes += bytes;
  stats.peakBytes = Math.max(stats.peakBytes, stats.bytes);
};

/** Free memory that is kept for reuse, at most, in bytes. */
const poolBound = 256 * 2 ** 20;

/** Memory blocks by size, reused once no run and no reader needs them. */
class Pool {
  readonly #free = new Map<number, Stored[]>();
  readonly #shared: boolean;
  readonly #forget: (block: Stored) => void;
  #idle = 0;
  #next = 0;

  /** @param shared whether another thread must see the memory @param forget is told of blocks that are let go */
  constructor(shared: boolean, forget: (block: Stored) => void) { this.#shared = shared; this.#forget = forget; }

  /** A block of `bytes`. @param finished with it, only blocks whose last run has this number or an earlier one */
  take(bytes: number, finished = Number.POSITIVE_INFINITY): Stored {
    const block = this.#found(bytes, finished) ?? this.#made(bytes);
    counted(bytes);
    return block;
  }

  #found(bytes: number, finished: number): Stored | undefined {
    const list = this.#free.get(bytes);
    const at = list?.findIndex(({ lastUse }) => lastUse <= finished) ?? -1;
    if (!list || at < 0) return undefined;
    this.#idle -= bytes;
    const [block] = list.splice(at, 1) as [Stored];
    block.freed = false;
    return block;
  }

  #made(bytes: number): Stored {
    const room = Math.max(8, bytes);
    try {
      return { id: this.#next++, bytes, buffer: this.#shared ? new SharedArrayBuffer(room) : new ArrayBuffer(room), lastUse: -1, pins: 0, freed: false, known: false };
    } catch (cause) {
      throw new RangeError(`no memory for a tensor of ${(bytes / 2 ** 30).toFixed(1)} GiB`, { cause });
    }
  }

  give(block: Stored): void {
    counted(-block.bytes);
    if (this.#idle + block.bytes > poolBound) { this.#forget(block); return; }
    this.#idle += block.bytes;
    const list = this.#free.get(block.bytes);
    if (list) list.push(block);
    else this.#free.set(block.bytes, [block]);
  }
}

const compiled = (runner: Runner): Executor['compile'] => (plan, model, results) => {
  runner('compile', plan, model, results.map(bytesOf)).then((seconds) => { stats.compiling += seconds; }, () => {});
};
const released = (runner: Runner): Executor['release'] => (plan) => { runner('release', plan).catch(() => {}); };
const shapeOf = ({ stored: { id }, spec: { shape, dtype, size } }: Fed): Place => ({ block: id, shape, dtype, size });

/** Values in memory that both this thread and the one that runs graphs can see, so that nothing is copied between them. @param shared whether those are two threads */
export const cpuExecutor = (runner: Runner, device: string, target: Target, shared: boolean): Executor => {
  const pool = new Pool(shared, (block) => { if (block.known) runner('forget', block.id).catch(() => {}); });
  const view = ({ buffer }: Stored, { dtype, size }: Spec): Numbers => numbersOf(dtype, buffer as ArrayBufferLike, 0, size);
  let runs = 0;
  let finished = -1;
  const placed = (fed: Fed): Place => {
    const { stored } = fed;
    stored.lastUse = runs;
    if (stored.known) return shapeOf(fed);
    stored.known = true;
    return { ...shapeOf(fed), buffer: stored.buffer };
  };
  return {
    device,
    target,
    compile: compiled(runner),
    release: released(runner),
    allocate: (spec) => pool.take(bytesOf(spec)),
    upload: (spec, numbers) => {
      const stored = pool.take(bytesOf(spec), finished);
      view(stored, spec).set(numbers as Float32Array);
      return stored;
    },
    run: async (plan, feeds, results) => {
      const answer = runner('run', plan, feeds.map(placed), results.map(placed));
      const number = runs++;
      stats.runs++;
      try {
        stats.running += await answer;
      } catch (cause) {
        // It may have failed before it looked at its memory.
        for (const { stored } of [...feeds, ...results]) stored.known = false;
        throw cause;
      } finally {
        finished = number;
      }
    },
    download: async (stored, spec) => view(stored, spec).slice(),
    peek: (stored, spec) => view(stored, spec).slice(),
    free: (stored) => {
      stored.freed = true;
      if (stored.pins === 0) pool.give(stored);
    },
    dispose: async () => { await runner('dispose'); },
  };
};

/** Values on the GPU, known here by number only. */
export const gpuExecutor = (runner: Runner, device: string, target: Target): Executor => {
  let next = 0;
  const allocate = (spec: Spec): Stored => {
    counted(bytesOf(spec));
    return { id: next++, bytes: bytesOf(spec), buffer: undefined, lastUse: -1, pins: 0, freed: false, known: true };
  };
  return {
    device,
    target,
    compile: compiled(runner),
    release: released(runner),
    allocate,
    upload: (spec, numbers) => {
      const stored = allocate(spec);
      runner('upload', shapeOf({ stored, spec }), numbers.slice()).catch(() => {});
      return stored;
    },
    run: async (plan, feeds, results) => {
      const answer = runner('run', plan, feeds.map(shapeOf), results.map(shapeOf));
      stats.runs++;
      stats.running += await answer;
    },
    download: (stored, spec) => runner('download', shapeOf({ stored, spec })),
    peek: () => undefined,
    free: (stored) => {
      stored.freed = true;
      if (stored.pins > 0) return;
      counted(-stored.bytes);
      runner('forget', stored.id).catch(() => {});
    },
    dispose: async () => { await runner('dispose'); },
  };
};
