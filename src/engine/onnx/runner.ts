/** Where sessions run: in this thread, or in a worker so that this thread goes on decoding, drawing and answering signals while a step runs. */
import { Worker } from 'node:worker_threads';
import { EngineError } from '../../errors.ts';
import { type Place, type SessionSettings, Sessions } from './sessions.ts';

/** Calls are carried out one after the other, in the order they are made. Times are in seconds. */
export type Runner = Readonly<{
  compile: (plan: number, model: Uint8Array) => Promise<number>;
  run: (plan: number, feeds: readonly Place[], results: readonly Place[]) => Promise<number>;
  release: (plan: number) => Promise<void>;
  /** Lets go of a memory block that will not be named again. */
  forget: (block: number) => void;
  dispose: () => Promise<void>;
}>;

/** Runs sessions in this thread; the event loop stands still while one runs. */
export const localRunner = (settings: SessionSettings): Runner => {
  const sessions = new Sessions(settings);
  let queue: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const done = queue.then(work);
    queue = done.catch(() => {});
    return done;
  };
  return {
    compile: (plan, model) => inTurn(() => sessions.compile(plan, model)),
    run: (plan, feeds, results) => inTurn(() => sessions.run(plan, feeds, results)),
    release: (plan) => inTurn(() => sessions.release(plan)),
    forget: () => {},
    dispose: () => inTurn(() => sessions.dispose()),
  };
};

/** A place whose memory the worker knows by number, sent along the first time. */
export type SentPlace = Readonly<{ block: number; buffer?: ArrayBufferLike; shape: readonly number[]; dtype: Place['dtype']; size: number }>;

/** What the worker is asked, and what it answers. */
export type Request = Readonly<{ ticket: number }> & (
  | Readonly<{ kind: 'compile'; plan: number; model: Uint8Array }>
  | Readonly<{ kind: 'run'; plan: number; feeds: readonly SentPlace[]; results: readonly SentPlace[] }>
  | Readonly<{ kind: 'release'; plan: number }>
  | Readonly<{ kind: 'forget'; block: number }>
);
export type Answer = Readonly<{ ticket: number; seconds?: number; error?: unknown }>;

type Asked = { [K in Request['kind']]: Omit<Extract<Request, { kind: K }>, 'ticket'> }[Request['kind']];

/** Runs sessions in a worker thread. The process may end while the worker is idle, and stays while it has work. */
export const workerRunner = async (settings: SessionSettings): Promise<Runner> => {
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: settings, name: 'millrace engine' });
  const waiting = new Map<number, Readonly<{ resolve: (seconds: number) => void; reject: (cause: unknown) => void }>>();
  const sent = new Set<number>();
  let tickets = 0;
  let gone: Error | undefined;
  const fail = (cause: Error): void => {
    gone ??= new EngineError('onnx-cpu', `the engine's worker thread ended: ${cause.message}; MILLRACE_WORKER=0 runs without it`, cause);
    for (const { reject } of waiting.values()) reject(gone);
    waiting.clear();
  };
  const ask = (request: Asked): Promise<number> => new Promise((resolve, reject) => {
    if (gone) { reject(gone); return; }
    const ticket = tickets++;
    if (waiting.size === 0) worker.ref();
    waiting.set(ticket, { resolve, reject });
    worker.postMessage({ ticket, ...request });
  });
  worker.on('message', ({ ticket, seconds = 0, error }: Answer) => {
    const asked = waiting.get(ticket);
    waiting.delete(ticket);
    if (waiting.size === 0) worker.unref();
    if (error === undefined) asked?.resolve(seconds);
    else asked?.reject(error);
  });
  worker.on('error', fail);
  worker.on('exit', (code) => fail(new Error(`it stopped with exit code ${code}`)));
  const name = ({ block, buffer, shape, dtype, size }: Place): SentPlace => {
    if (sent.has(block)) return { block, shape, dtype, size };
    sent.add(block);
    return { block, buffer, shape, dtype, size };
  };
  // The first answer says that the runtime is loaded.
  await ask({ kind: 'release', plan: -1 });
  return {
    compile: (plan, model) => ask({ kind: 'compile', plan, model }),
    run: (plan, feeds, results) => ask({ kind: 'run', plan, feeds: feeds.map(name), results: results.map(name) }),
    release: async (plan) => { await ask({ kind: 'release', plan }); },
    forget: (block) => { if (sent.delete(block)) void ask({ kind: 'forget', block }).catch(() => {}); },
    dispose: async () => { await worker.terminate(); },
  };
};
