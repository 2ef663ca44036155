/** The sessions of one thread, on memory that the thread that records can see. */
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import * as runtime from 'onnxruntime-node';
import { type Dtype, numbersOf } from './value.ts';

/** Where a graph reads or writes one value: a memory block, and how to see it. */
export type Place = Readonly<{ block: number; buffer: ArrayBufferLike; shape: readonly number[]; dtype: Dtype; size: number }>;

/** How sessions are made. */
export type SessionSettings = Readonly<{ threads: number; profile?: string }>;

const tensorOf = ({ buffer, shape, dtype, size }: Omit<Place, 'block'>): Tensor => new runtime.Tensor(dtype as 'float32', numbersOf(dtype, buffer, 0, size) as Float32Array, shape);

export class Sessions {
  readonly #sessions = new Map<number, Promise<InferenceSession>>();
  readonly #settings: SessionSettings;

  constructor(settings: SessionSettings) { this.#settings = settings; }

  /** Makes a session; resolves to the seconds it took. */
  async compile(plan: number, model: Uint8Array): Promise<number> {
    const started = performance.now();
    const session = runtime.InferenceSession.create(model, {
      executionProviders: ['cpu'],
      executionMode: 'sequential',
      graphOptimizationLevel: 'all',
      intraOpNumThreads: this.#settings.threads,
      interOpNumThreads: 1,
      logSeverityLevel: 3,
      ...(this.#settings.profile !== undefined && { enableProfiling: true, profileFilePrefix: this.#settings.profile }),
    });
    session.catch(() => {});
    this.#sessions.set(plan, session);
    await session;
    return (performance.now() - started) / 1e3;
  }

  /** Runs a plan; resolves to the seconds it took. */
  async run(plan: number, feeds: readonly Place[], results: readonly Place[]): Promise<number> {
    const session = await this.#sessions.get(plan);
    if (!session) throw new Error(`graph ${plan} was never compiled`);
    const started = performance.now();
    await session.run(
      Object.fromEntries(feeds.map((place, i) => [`i${i}`, tensorOf(place)])),
      Object.fromEntries(results.map((place, i) => [`o${i}`, tensorOf(place)])),
    );
    return (performance.now() - started) / 1e3;
  }

  async release(plan: number): Promise<void> {
    const session = this.#sessions.get(plan);
    this.#sessions.delete(plan);
    await (await session?.catch(() => undefined))?.release();
  }

  async dispose(): Promise<void> { await Promise.all([...this.#sessions.keys()].map((plan) => this.release(plan))); }
}
