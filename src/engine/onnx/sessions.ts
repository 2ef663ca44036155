/** The sessions of one thread, and the values that live beside them. */
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import * as runtime from 'onnxruntime-node';
import { type ModelDef, encodeModel } from './proto.ts';
import { type Dtype, type Numbers, numbersOf } from './value.ts';

/** Which value a graph reads or writes, and how to see it. On the CPU its memory is sent along the first time. */
export type Place = Readonly<{ block: number; buffer?: ArrayBufferLike; shape: readonly number[]; dtype: Dtype; size: number }>;

/** How sessions are made. `profile` is the prefix of the runtime's own profiles, one a session. */
export type SessionSettings = Readonly<{ provider: 'cpu' | 'webgpu'; threads: number; spin?: boolean; profile?: string }>;

/** Results up to this many bytes come off the GPU with the run; larger ones stay there until they are asked for. */
const smallResult = 4096;

const hostTensor = (numbers: Numbers, { shape, dtype }: Place): Tensor => new runtime.Tensor(dtype as 'float32', numbers as Float32Array, shape);

/** A graph that copies one value of a dtype: the way onto the GPU and back. */
const copyModel = ({ dtype, shape }: Place): ModelDef => {
  const value = { type: dtype as 'float32', shape: shape.map((_, i) => `n${i}`) };
  return { name: 'copy', nodes: [{ op: 'Identity', domain: '', inputs: ['i0'], outputs: ['o0'], attributes: {} }], inputs: [{ name: 'i0', ...value }], outputs: [{ name: 'o0', ...value }], initialisers: [] };
};

export class Sessions {
  readonly #sessions = new Map<string | number, Promise<InferenceSession>>();
  readonly #settings: SessionSettings;
  /** Memory on the CPU, and values on the GPU, by block. */
  readonly #memory = new Map<number, ArrayBufferLike>();
  readonly #values = new Map<number, Tensor>();

  constructor(settings: SessionSettings) { this.#settings = settings; }

  get #onGpu(): boolean { return this.#settings.provider === 'webgpu'; }

  #create(model: Uint8Array, locations?: Readonly<Record<string, 'cpu' | 'gpu-buffer'>>): Promise<InferenceSession> {
    const { provider, threads, profile } = this.#settings;
    return runtime.InferenceSession.create(model, {
      executionProviders: [provider],
      executionMode: 'sequential',
      // A block planned for all values of a graph would come on top of the arena that its first run filled: a third more memory, and no faster.
      enableMemPattern: false,
      graphOptimizationLevel: 'all',
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      // Its errors come back as errors.
      logSeverityLevel: 4,
      // Idle threads sleep: the decoder, and whoever else is on this machine, needs the processor too.
      extra: {
        session: { intra_op: { allow_spinning: this.#settings.spin ? '1' : '0' }, inter_op: { allow_spinning: '0' } },
        // It takes a scaled operand away from another product that still reads it, and then finds the graph invalid.
        optimization: { disable_specified_optimizers: 'MatMulScaleFusion' },
      },
      ...(locations && { preferredOutputLocation: locations }),
      ...(profile !== undefined && { enableProfiling: true, profileFilePrefix: profile }),
    });
  }

  /** Makes a session whose results have these sizes in bytes; resolves to the seconds it took. */
  async compile(plan: number, model: Uint8Array, resultBytes: readonly number[]): Promise<number> {
    const started = performance.now();
    const session = this.#create(model, this.#onGpu ? Object.fromEntries(resultBytes.map((bytes, i) => [`o${i}`, bytes <= smallResult ? 'cpu' : 'gpu-buffer'])) : undefined);
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
    const inputs = Object.fromEntries(feeds.map((place, i) => [`i${i}`, this.#tensor(place)]));
    if (this.#onGpu) {
      const outputs = await session.run(inputs);
      results.forEach(({ block }, i) => this.#values.set(block, outputs[`o${i}`] as Tensor));
    } else {
      await session.run(inputs, Object.fromEntries(results.map((place, i) => [`o${i}`, this.#tensor(place)])));
    }
    return (performance.now() - started) / 1e3;
  }

  #tensor(place: Place): Tensor {
    const { block, buffer, dtype, size } = place;
    const value = this.#values.get(block);
    if (value) return value;
    if (buffer) this.#memory.set(block, buffer);
    const memory = this.#memory.get(block);
    if (!memory) throw new Error(`value ${block} is gone`);
    return hostTensor(numbersOf(dtype, memory, 0, size), place);
  }

  async #copied(place: Place, tensor: Tensor, location: 'cpu' | 'gpu-buffer'): Promise<Tensor> {
    const key = `copy ${location} ${place.dtype} ${place.shape.length}`;
    let session = this.#sessions.get(key);
    if (!session) {
      session = this.#create(encodeModel(copyModel(place)), { o0: location });
      this.#sessions.set(key, session);
    }
    return (await (await session).run({ i0: tensor }))['o0'] as Tensor;
  }

  /** Puts numbers on the GPU. */
  async upload(place: Place, numbers: Numbers): Promise<void> {
    const tensor = hostTensor(numbers, place);
    this.#values.set(place.block, numbers.byteLength <= smallResult ? tensor : await this.#copied(place, tensor, 'gpu-buffer'));
  }

  /** Fetches numbers from the GPU. */
  async download(place: Place): Promise<Numbers> {
    const tensor = this.#values.get(place.block);
    if (!tensor) throw new Error(`value ${place.block} is gone`);
    const near = tensor.location === 'cpu' ? tensor : await this.#copied(place, tensor, 'cpu');
    return (near.data as Float32Array).slice();
  }

  /** Lets go of a value or a memory block. */
  async forget(block: number): Promise<void> {
    this.#memory.delete(block);
    const value = this.#values.get(block);
    this.#values.delete(block);
    if (value && value.location !== 'cpu') value.dispose();
  }

  async release(plan: string | number): Promise<void> {
    const session = this.#sessions.get(plan);
    this.#sessions.delete(plan);
    await (await session?.catch(() => undefined))?.release();
  }

  /** How many channels the runtime's blocked convolutions take to a block on this processor: its vectors' length; 0 where it has none. */
  async blockSize(): Promise<number> {
    if (this.#onGpu) return 0;
    // Reordering 64 channels of two positions: the first channel's second position comes after one block.
    const value = { type: 'float32', shape: [1, 64, 1, 2] } as const;
    const model = encodeModel({ name: 'block', nodes: [{ op: 'ReorderInput', domain: 'com.microsoft.nchwc', inputs: ['i0'], outputs: ['o0'], attributes: {} }], inputs: [{ name: 'i0', ...value }], outputs: [{ name: 'o0', ...value }], initialisers: [] });
    try {
      const session = await this.#create(model);
      const { o0 } = await session.run({ i0: new runtime.Tensor('float32', Float32Array.from({ length: 128 }, (_, i) => i), [1, 64, 1, 2]) });
      await session.release();
      const block = ((o0 as Tensor).data as Float32Array).indexOf(1);
      return block === 8 || block === 16 ? block : 0;
    } catch {
      return 0;
    }
  }

  async dispose(): Promise<void> {
    for (const block of [...this.#values.keys()]) await this.forget(block);
    for (const plan of [...this.#sessions.keys()]) await this.release(plan);
  }
}
