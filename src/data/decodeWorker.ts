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
const { cache: where, folder, share } = workerData as { cache: string; folder: string; share: number };
const queue: Job[] = [];
let running = false;

const ready = workingCache(where, folder, share).then((cache) => {
  // Read here and at once: this thread has nothing else to do, and libvips's threads are left to libvips.
  const decode = pairDecoder(cache, (path) => readFileSync(path));
  return { cache, decode };
});

const send = async ({ ticket, index }: Job, outcome: Outcome): Promise<void> => {
  const { cache: { stats: { hits, misses } } } = await ready;
  const message = { ticket, index, stats: { hits, misses }, ...outcome } satisfies FromWorker | Outcome;
  port.postMessage(message, 'pixels' in outcome ? [outcome.pixels.source.buffer as ArrayBuffer, outcome.pixels.target.buffer as ArrayBuffer] : []);
};

const work = async (): Promise<void> => {
  if (running) return;
  running = true;
  const { decode } = await ready;
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    try {
      await send(next, { pixels: await decode(next.job, next.options) });
    } catch (cause) {
      const { subject, message } = cause as { subject?: string; message: string };
      await send(next, { failed: { path: subject ?? next.job.pair.source.path, message } });
    }
  }
  running = false;
};

port.on('message', (message: ToWorker) => {
  if ('close' in message) { queue.length = 0; port.close(); return; }
  if ('forget' in message) {
    for (const job of queue.filter(({ ticket }) => ticket === message.forget)) void send(job, { forgotten: true });
    queue.splice(0, queue.length, ...queue.filter(({ ticket }) => ticket !== message.forget));
    return;
  }
  queue.push(message);
  void work();
});
