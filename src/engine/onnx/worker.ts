/** The worker thread's side of `workerRunner`. */
import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import type { Answer, Request, SentPlace } from './runner.ts';
import { type Place, type SessionSettings, Sessions } from './sessions.ts';

const port = parentPort as MessagePort;
const sessions = new Sessions(workerData as SessionSettings);
const blocks = new Map<number, ArrayBufferLike>();

const placeOf = ({ block, buffer, ...rest }: SentPlace): Place => {
  if (buffer) blocks.set(block, buffer);
  return { block, buffer: blocks.get(block) as ArrayBufferLike, ...rest };
};

const work = async (request: Request): Promise<number | undefined> => {
  switch (request.kind) {
    case 'compile': return sessions.compile(request.plan, request.model);
    case 'run': return sessions.run(request.plan, request.feeds.map(placeOf), request.results.map(placeOf));
    case 'release': await sessions.release(request.plan); return undefined;
    case 'forget': blocks.delete(request.block); return undefined;
  }
};

let queue: Promise<void> = Promise.resolve();
port.on('message', (request: Request) => {
  queue = queue.then(async () => {
    const { ticket } = request;
    try {
      const seconds = await work(request);
      port.postMessage({ ticket, ...(seconds !== undefined && { seconds }) } satisfies Answer);
    } catch (error) {
      port.postMessage({ ticket, error } satisfies Answer);
    }
  });
});
