/** The worker thread's side of `workerRunner`. */
import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import { type Answer, type Request, perform } from './runner.ts';
import { type SessionSettings, Sessions } from './sessions.ts';

const port = parentPort as MessagePort;
const sessions = new Sessions(workerData as SessionSettings);
let queue: Promise<void> = Promise.resolve();

port.on('message', ({ ticket, method, args }: Request) => {
  queue = queue.then(async () => {
    try {
      port.postMessage({ ticket, value: await perform(sessions, method, args) } satisfies Answer);
    } catch (error) {
      port.postMessage({ ticket, error } satisfies Answer);
    }
  });
});
