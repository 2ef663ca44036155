/** A thread of `decodePool`: takes jobs in order, one at a time, and hands over what became of each. */
import { readFileSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { type PairPixels, pairDecoder, workingCache } from './decodePair.ts';
import type { FromWorker, ToWorker } from './decodePool.ts';

type Job = Extract<ToWorker, { ticket: number }>;
/** What is left of a message without its envelope. */
type Outcome = Readonly<{ pixels: PairPixels }> | Readonly<{ failed: { path: string; message: string } }> | Readonly<{ forgotten: true }>;

if (parentPort === null) throw new Error('decodeWorker.ts runs as a worker thread: use decodePool');
const port = parentPort;
const { cache: where, folder, sharers } = workerData as { cache: string; folder: string; sharers: number };
const queue: Job[] = [];
let running = false;
/** What the time went into, and since when there is nothing to do. */
const seconds = { disk: 0, decode: 0, augment: 0, idle: 0 };
let since = performance.now();

const ready = workingCache(where, folder, sharers).then((cache) => {
  // Read here and at once: this thread has nothing else to do, and libvips's threads are left to libvips.
  const decode = pairDecoder(cache, (path) => readFileSync(path));
  return { cache, decode };
});

const send = async ({ ticket, index }: Job, outcome: Outcome): Promise<void> => {
  const { cache: { stats: { hits, misses } } } = await ready;
  const message = { ticket, index, stats: { hits, misses, seconds }, ...outcome } satisfies FromWorker | Outcome;
  port.postMessage(message, 'pixels' in outcome ? [outcome.pixels.source.buffer as ArrayBuffer, outcome.pixels.target.buffer as ArrayBuffer] : []);
};

const work = async (): Promise<void> => {
  if (running) return;
  running = true;
  seconds.idle += (performance.now() - since) / 1000;
  const { decode } = await ready;
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    try {
      const pixels = await decode(next.job, next.options);
      for (const part of ['disk', 'decode', 'augment'] as const) seconds[part] += pixels.spent[part];
      await send(next, { pixels });
    } catch (cause) {
      const { subject, message } = cause as { subject?: string; message: string };
      await send(next, { failed: { path: subject ?? next.job.pair.source.path, message } });
    }
  }
  running = false;
  since = performance.now();
};

port.on('message', (message: ToWorker) => {
  if ('order' in message) {
    if (message.order === 'renew') void ready.then(({ cache }) => { cache.renew(); });
    else { queue.length = 0; port.close(); }
    return;
  }
  if ('forget' in message) {
    for (const job of queue.filter(({ ticket }) => ticket === message.forget)) void send(job, { forgotten: true });
    queue.splice(0, queue.length, ...queue.filter(({ ticket }) => ticket !== message.forget));
    return;
  }
  queue.push(message);
  void work();
});
