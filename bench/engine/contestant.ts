/** A process that trains on request and says how long it took: ours or the PyTorch twin, spoken to in the same lines. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { EngineStats } from '../../src/tf.ts';

/** What it says of itself before the first request. */
export type Greeting = Readonly<{ batch: number; parameters: Readonly<Record<string, number>>; version: string; device?: string }>;

/** Its answer to a request for some steps. */
export type Lap = Readonly<{
  /** Of each step. */
  seconds: readonly number[];
  /** Processor time of all steps and threads, spinning included: what a busy machine disturbs less than the clock. */
  cpuSeconds: number;
  /** Of the last step. */
  loss: number;
  /** Most memory the process ever held. */
  peakBytes: number;
  /** What the engine counted over these steps; ours only. */
  engine?: Readonly<EngineStats>;
}>;

export type Contestant = Readonly<{
  greeting: Greeting;
  /** Trains `steps` more steps. @throws Error when the process ends without an answer */
  lap: (steps: number) => Promise<Lap>;
  /** Ends the process. */
  leave: () => Promise<void>;
}>;

/** Starts a contestant. @throws Error when it ends before it has said what it is; the message has the end of what it printed */
export const enter = async (command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Contestant> => {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => { complaint = `${complaint}${chunk.toString()}`.slice(-2_000); });
  const ended = new Promise<void>((resolve) => { child.once('close', () => resolve()); child.once('error', () => resolve()); });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async <T>(): Promise<T> => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${command} ${args.join(' ')} ended: ${complaint.trim()}`);
    return JSON.parse(value) as T;
  };
  const greeting = await answer<Greeting>();
  return {
    greeting,
    lap: async (steps) => { child.stdin.write(`${steps}\n`); return answer<Lap>(); },
    leave: async () => { child.stdin.end(); await ended; },
  };
};
