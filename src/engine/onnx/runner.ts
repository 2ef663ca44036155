/** Where sessions live: in this thread, or in a worker so that this thread goes on decoding, drawing and answering signals while a step runs. */
import { Worker } from 'node:worker_threads';
import { EngineError } from '../../errors.ts';
import { type SessionSettings, Sessions } from './sessions.ts';

/** What can be asked of sessions. */
export type Method = 'compile' | 'run' | 'upload' | 'download' | 'forget' | 'release' | 'blockSize' | 'dispose';

/** Asks for something; requests are carried out one after the other, in the order they are made. */
export type Runner = <M extends Method>(method: M, ...args: Parameters<Sessions[M]>) => Promise<Awaited<ReturnType<Sessions[M]>>>;

/** One request to the worker, and its answer. */
export type Request = Readonly<{ ticket: number; method: Method; args: readonly unknown[] }>;
export type Answer = Readonly<{ ticket: number; value?: unknown; error?: unknown }>;

/** Carries out a request on sessions. */
export const perform = (sessions: Sessions, method: Method, args: readonly unknown[]): Promise<unknown> =>
  (sessions[method] as (...args: readonly unknown[]) => Promise<unknown>).apply(sessions, [...args]);

/** Runs sessions in this thread; the event loop stands still while one runs. */
export const localRunner = (settings: SessionSettings): Runner => {
  const sessions = new Sessions(settings);
  let queue: Promise<unknown> = Promise.resolve();
  return (method, ...args) => {
    const done = queue.then(() => perform(sessions, method, args));
    queue = done.catch(() => {});
    return done as Promise<never>;
  };
};

/** Whether a worker can run this project's files: Node runs TypeScript from 22.18 on. */
export const workersWork = (): boolean => Boolean(process.features.typescript);

/** Runs sessions in a worker thread. The process may end while the worker is idle, and stays while it has work. */
export const workerRunner = (settings: SessionSettings): Runner => {
  const worker = new Worker(new URL('./worker.ts', import.meta.url), {
    workerData: settings, name: 'millrace engine',
    // Not what tells this process to run a line of text or to watch its files; V8's own flags hold for all threads, and a worker refuses them.
    execArgv: process.execArgv.filter((flag) => /^--(experimental-(strip|transform)-types|no-warnings)/.test(flag)),
  });
  const waiting = new Map<number, Readonly<{ resolve: (value: unknown) => void; reject: (cause: unknown) => void }>>();
  let tickets = 0;
  let gone: Error | undefined;
  const fail = (cause: Error): void => {
    gone ??= new EngineError('worker', `the engine's worker thread ended: ${cause.message}; MILLRACE_WORKER=0 runs without it`, cause);
    for (const { reject } of waiting.values()) reject(gone);
    waiting.clear();
  };
  worker.on('message', ({ ticket, value, error }: Answer) => {
    const asked = waiting.get(ticket);
    waiting.delete(ticket);
    if (waiting.size === 0) worker.unref();
    if (error === undefined) asked?.resolve(value);
    else asked?.reject(error);
  });
  worker.on('error', fail);
  worker.on('exit', (code) => fail(new Error(`it stopped with exit code ${code}`)));
  return (method, ...args) => new Promise<never>((resolve, reject) => {
    if (gone) { reject(gone); return; }
    if (waiting.size === 0) worker.ref();
    waiting.set(tickets, { resolve: resolve as (value: unknown) => void, reject });
    worker.postMessage({ ticket: tickets++, method, args } satisfies Request);
  });
};
