/**
 * Decoding on worker threads. A thread of its own, and not only libvips's: the engine holds the JS thread for whole training steps, so work that came back to it
 * between reading, decoding and resampling would wait for a step each time. All jobs of a batch are sent at once; their results wait for no one.
 */
import { Worker } from 'node:worker_threads';
import { Observable } from 'rxjs';
import { DecodeError } from '../errors.ts';
import { parseBytes } from './cache.ts';
import { type DecodeOptions, type PairJob, type PairPixels, type Spent, pairDecoder, workingCache } from './decodePair.ts';

/** A batch to decode. */
export type DecodeRequest = DecodeOptions & Readonly<{ jobs: readonly PairJob[] }>;

/** What the decoders have done since the pool was made. */
export type DecodeStats = Readonly<{
  /** Images found decoded, and images decoded. */
  hits: number;
  misses: number;
  /** Of all threads together; idle while there is no job. */
  seconds: Spent & Readonly<{ idle: number }>;
}>;

export type DecodePool = Readonly<{
  /** Decodes the pairs of a batch, in the order of its jobs. Work that nobody waits for any more is not begun. */
  decode: (request: DecodeRequest) => Observable<readonly PairPixels[]>;
  /** Another run begins: decoded images that it does not use may go for those it does. */
  renew: () => void;
  readonly stats: DecodeStats;
  /** Why it cannot decode any more. */
  readonly crashed: Error | undefined;
  /** Ends the threads, after the image each is at. */
  close: () => void;
}>;

export type PoolOptions = Readonly<{
  /** Pairs decoded at the same time. More than 4 need UV_THREADPOOL_SIZE in the environment before Node starts. */
  workers: number;
  /** See `workingCache`. */
  cache: string;
  /** Folder of a disk cache. */
  folder: string;
}>;

/** To a worker: a job, the ticket of a batch to forget, or what else it is to do. */
export type ToWorker = Readonly<{ ticket: number; index: number; job: PairJob; options: DecodeOptions }> | Readonly<{ forget: number }> | Readonly<{ order: 'renew' | 'close' }>;
/** From a worker. */
export type FromWorker = Readonly<{ ticket: number; index: number; stats: DecodeStats }> & (Readonly<{ pixels: PairPixels }> | Readonly<{ failed: { path: string; message: string } }>);

type Reply = Readonly<{ index: number; pixels: PairPixels }> | Readonly<{ failed: Error }>;
/** Where jobs go: answers come back through `reply`, in any order. */
type Threads = Readonly<{ post: (ticket: number, jobs: readonly PairJob[], options: DecodeOptions) => void; forget: (ticket: number) => void; renew: () => void; close: () => void }>;

const none: DecodeStats = { hits: 0, misses: 0, seconds: { disk: 0, decode: 0, augment: 0, idle: 0 } };
const together = (a: DecodeStats, b: DecodeStats): DecodeStats => ({
  hits: a.hits + b.hits, misses: a.misses + b.misses,
  seconds: { disk: a.seconds.disk + b.seconds.disk, decode: a.seconds.decode + b.seconds.decode, augment: a.seconds.augment + b.seconds.augment, idle: a.seconds.idle + b.seconds.idle },
});

/** One thread per worker, each with a queue of its own. */
const startThreads = ({ workers, cache, folder }: PoolOptions, reply: (ticket: number, reply: Reply) => void, count: (thread: number, stats: DecodeStats) => void, crash: (cause: Error) => void): Threads => {
  const load = new Array<number>(workers).fill(0);
  const threads = load.map((_, thread) => {
    const worker = new Worker(new URL('./decodeWorker.ts', import.meta.url), { workerData: { cache, folder, sharers: workers } });
    worker.on('message', (message: FromWorker) => {
      load[thread] = (load[thread] as number) - 1;
      count(thread, message.stats);
      if ('pixels' in message) reply(message.ticket, message);
      else if ('failed' in message) reply(message.ticket, { failed: new DecodeError(message.failed.path, message.failed.message) });
    });
    worker.on('error', crash);
    return worker;
  });
  const send = (thread: number, message: ToWorker): void => { (threads[thread] as Worker).postMessage(message); };
  const leastOf = (counts: readonly number[]): number => counts.indexOf(Math.min(...counts));
  // A pair always goes to the thread that has it in memory, and all have equally many; otherwise to the one with the least to do.
  const remembers = cache !== 'off' && cache !== 'disk';
  const owners = new Map<string, number>();
  const owned = new Array<number>(workers).fill(0);
  const ownerOf = ({ source: { file } }: PairJob['pair']): number => {
    const known = owners.get(file);
    if (known !== undefined) return known;
    const owner = leastOf(owned);
    owned[owner] = (owned[owner] as number) + 1;
    owners.set(file, owner);
    return owner;
  };
  return {
    post: (ticket, jobs, options) => {
      for (const [index, job] of jobs.entries()) {
        const thread = remembers ? ownerOf(job.pair) : leastOf(load);
        load[thread] = (load[thread] as number) + 1;
        send(thread, { ticket, index, job, options });
      }
    },
    forget: (ticket) => { threads.forEach((_, thread) => { send(thread, { forget: ticket }); }); },
    renew: () => { threads.forEach((_, thread) => { send(thread, { order: 'renew' }); }); },
    close: () => { for (const [thread, worker] of threads.entries()) { send(thread, { order: 'close' }); worker.unref(); } },
  };
};

/** The same on this thread, for a runtime whose workers cannot run TypeScript (Node before 24). */
const startHere = ({ workers, cache: where, folder }: PoolOptions, reply: (ticket: number, reply: Reply) => void, count: (thread: number, stats: DecodeStats) => void): Threads => {
  const forgotten = new Set<number>();
  const ready = workingCache(where, folder).then((cache) => ({ cache, decode: pairDecoder(cache) }));
  const turns = new Array<Promise<void>>(workers).fill(Promise.resolve());
  let total = none;
  return {
    post: (ticket, jobs, options) => {
      for (const [index, job] of jobs.entries()) {
        turns[index % workers] = (turns[index % workers] as Promise<void>).then(async () => {
          if (forgotten.has(ticket)) return;
          const { cache, decode } = await ready;
          try {
            const pixels = await decode(job, options);
            total = together(total, { ...none, seconds: { ...pixels.spent, idle: 0 } });
            count(0, { ...total, hits: cache.stats.hits, misses: cache.stats.misses });
            reply(ticket, { index, pixels });
          } catch (cause) {
            reply(ticket, { failed: cause as Error });
          }
        });
      }
    },
    forget: (ticket) => { forgotten.add(ticket); },
    renew: () => { void ready.then(({ cache }) => { cache.renew(); }); },
    close: () => {},
  };
};

/** Starts the threads. They are closed by `close`, and only then does Node end by itself. @throws RangeError */
export const decodePool = (options: PoolOptions): DecodePool => {
  if (!Number.isInteger(options.workers) || options.workers < 1) throw new RangeError(`decodePool: expected workers to be a positive integer but received ${options.workers}`);
  if (options.cache !== 'off' && options.cache !== 'disk') parseBytes(options.cache);
  const waiting = new Map<number, (reply: Reply) => void>();
  const counts = new Map<number, DecodeStats>();
  let crashed: Error | undefined;
  let tickets = 0;
  const reply = (ticket: number, answer: Reply): void => { waiting.get(ticket)?.(answer); };
  const count = (thread: number, stats: DecodeStats): void => { counts.set(thread, stats); };
  const crash = (cause: Error): void => {
    crashed = cause;
    for (const answer of [...waiting.values()]) answer({ failed: cause });
  };
  const threads = process.features.typescript ? startThreads(options, reply, count, crash) : startHere(options, reply, count);
  return {
    decode: ({ jobs, ...rest }) => new Observable((subscriber) => {
      if (crashed) { subscriber.error(crashed); return; }
      const ticket = tickets++;
      const done: PairPixels[] = [];
      let missing = jobs.length;
      waiting.set(ticket, (answer) => {
        if ('failed' in answer) { subscriber.error(answer.failed); return; }
        done[answer.index] = answer.pixels;
        if (--missing > 0) return;
        subscriber.next(done);
        subscriber.complete();
      });
      subscriber.add(() => {
        waiting.delete(ticket);
        if (missing > 0) threads.forget(ticket);
      });
      threads.post(ticket, jobs, rest);
    }),
    renew: threads.renew,
    get stats() { return [...counts.values()].reduce(together, none); },
    get crashed() { return crashed; },
    close: threads.close,
  };
};
