/**
 * The lazy backend as TensorFlow.js sees it. Kernels compute nothing: they are recorded, and a flush turns what was recorded and is still wanted into one
 * graph and one run. Values that a run leaves behind stay with the executor and are fed to the next one.
 */
import * as tf from '../../tf.ts';
import { EngineError } from '../../errors.ts';
import { engineStatistics as stats } from '../stats.ts';
import type { Executor, Fed } from './executor.ts';
import { type Plan, Plans } from './plans.ts';
import { onComplex } from './kernels/complex.ts';
import { type Layout, layOut } from './recorder.ts';
import type { Kernel, Outline, Signature } from './registry.ts';
import { type Dtype, type Numbers, type RecordedNode, type Stored, Value, specOf } from './value.ts';

/** How many graphs stay compiled. */
const planBound = 64;
/** Dead nodes are swept out when this many have been recorded since the last sweep. */
const sweepAfter = 20_000;
/** Written values up to this many bytes stay on the JS thread after they were fed to a graph. */
const keepWritten = 1 << 16;

/** Text that is equal for equal attributes; unlike JSON it tells the numbers that JSON does not have. */
const keyOf = (value: unknown): string => {
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : `${value}`;
  if (Array.isArray(value)) return `[${value.map(keyOf).join()}]`;
  if (value !== null && typeof value === 'object') return `{${Object.entries(value).map(([key, item]) => `${key}:${keyOf(item)}`).join()}}`;
  return typeof value === 'string' ? `"${value}"` : `${value}`;
};

const noAttrs = {};

export class OnnxBackend extends tf.KernelBackend {
  readonly name: string;
  readonly executor: Executor;
  /** True while user code writes a value: such a value is fed to graphs, never built in. */
  writing = false;
  readonly #signatures = new Map<string, Signature>();
  readonly #plans: Plans;
  readonly #foreign = new WeakMap<object, Value>();
  #recorded: RecordedNode[] = [];
  #sweepAt = sweepAfter;
  /** Memory of disposed values that recorded nodes may still read. */
  #parting: Stored[] = [];
  #last: Promise<void> = Promise.resolve();

  constructor(name: string, executor: Executor) {
    super();
    this.name = name;
    this.executor = executor;
    this.#plans = new Plans(executor.target, planBound, ({ id }) => executor.release(id));
  }

  held(dataId: object): Value {
    const value = dataId instanceof Value ? dataId : this.#foreign.get(dataId);
    if (value === undefined) throw new EngineError(this.name, `a tensor of another backend was given to ${this.name}; make tensors after startEngine() has resolved`);
    return value;
  }

  // What TensorFlow.js asks of a backend.

  override write(values: tf.backend_util.BackendValues, shape: number[], dtype: tf.DataType): object {
    return this.written(values as Numbers, shape, dtype, 'tensor');
  }

  /** A value whose numbers are known. */
  written(values: ArrayLike<number>, shape: readonly number[], dtype: Dtype, origin: string): Value {
    const value = new Value(specOf(shape, dtype), origin);
    stats.values++;
    if (dtype === 'string' || dtype === 'complex64') { value.data = values as Numbers; return value; }
    const Kind = dtype === 'float32' ? Float32Array : dtype === 'int32' ? Int32Array : Uint8Array;
    value.data = values instanceof Kind ? values : Kind.from(values);
    if (value.spec.size === 1 && !this.writing) value.constant = value.data[0];
    return value;
  }

  /** A complex value of two real ones. */
  paired(real: Value, imag: Value): Value {
    const value = new Value(specOf(real.spec.shape, 'complex64'), 'Complex');
    stats.values++;
    this.incRef(real);
    this.incRef(imag);
    value.parts = [real, imag];
    return value;
  }

  override move(dataId: object, values: tf.backend_util.BackendValues, shape: number[], dtype: tf.DataType, refCount: number): void {
    this.writing = true;
    const value = this.written(values as Numbers, shape, dtype, 'tensor');
    this.writing = false;
    value.refs = refCount;
    this.#foreign.set(dataId, value);
  }

  override refCount(dataId: object): number { return this.held(dataId).refs; }
  override incRef(dataId: object): void { this.held(dataId).refs++; }

  override disposeData(dataId: object, force = false): boolean {
    const value = this.held(dataId);
    if (value.refs <= 0) return true;
    value.refs = force ? 0 : value.refs - 1;
    if (value.refs > 0) return false;
    stats.values--;
    for (const part of value.parts ?? []) this.disposeData(part);
    if (value.stored) this.#part(value.stored);
    return true;
  }

  #part(stored: Stored): void {
    if (this.#recorded.length === 0) this.executor.free(stored);
    else this.#parting.push(stored);
  }

  override numDataIds(): number { return stats.values; }
  override memory(): { unreliable: boolean } { return { unreliable: false }; }
  override floatPrecision(): 32 { return 32; }
  override epsilon(): number { return 1e-7; }
  override timerAvailable(): boolean { return false; }
  override dispose(): void { void this.executor.dispose(); }

  override readSync(dataId: object): tf.backend_util.BackendValues {
    const value = this.held(dataId);
    if (value.parts) {
      const [real, imag] = value.parts.map((part) => this.readSync(part) as Float32Array) as [Float32Array, Float32Array];
      return tf.backend_util.mergeRealAndImagArrays(real, imag);
    }
    if (value.failure) throw value.failure;
    if (value.data) return value.data;
    const numbers = value.stored && !value.ready ? this.executor.peek(value.stored, value.spec) : undefined;
    if (numbers) return numbers;
    throw new EngineError(value.origin, `the result of ${value.origin} was read synchronously, but ${this.name} computes when a step ends; read it with \`await tensor.data()\``);
  }

  override async read(dataId: object): Promise<tf.backend_util.BackendValues> {
    const value = this.held(dataId);
    if (value.parts) {
      const [real, imag] = await Promise.all(value.parts.map((part) => this.read(part))) as [Float32Array, Float32Array];
      return tf.backend_util.mergeRealAndImagArrays(real, imag);
    }
    if (value.data) return value.data;
    if (value.maker) void this.flush().catch(() => {});
    const { stored } = value;
    if (!stored) throw value.failure ?? new EngineError(value.origin, `the result of ${value.origin} is gone: its tensor was disposed`);
    stored.pins++;
    try {
      await value.ready;
      if (value.failure) throw value.failure;
      const numbers = await this.executor.download(stored, value.spec);
      stats.downloaded += stored.bytes;
      return numbers;
    } finally {
      stored.pins--;
      if (stored.freed && stored.pins === 0) this.executor.free(stored);
    }
  }

  // Recording.

  /** Records one kernel call. */
  record(kernel: Kernel, inputs: readonly (Value | undefined)[], attrs: Readonly<Record<string, unknown>> | undefined): readonly Value[] {
    const counted = kernel.attrs ? kernel.attrs(attrs ?? noAttrs) : attrs ?? noAttrs;
    let key = kernel.name + keyOf(counted);
    for (const input of inputs) key += input === undefined ? ' -' : ` ${input.spec.id}`;
    let signature = this.#signatures.get(key);
    if (signature === undefined) {
      const foreign = inputs.find((input) => input && (input.spec.dtype === 'complex64' || input.spec.dtype === 'string'));
      const answer = foreign?.parts && onComplex(this, kernel, inputs, counted);
      if (answer) return answer;
      if (foreign) throw new EngineError(kernel.name, `${kernel.name} on ${this.name} takes no ${foreign.spec.dtype} tensors; use real-valued operations`);
      const specs = inputs.map((input) => input?.spec);
      const inferred = kernel.infer(specs as NonNullable<typeof specs[number]>[], counted);
      const list = Array.isArray(inferred);
      const outlines = (list ? inferred : [inferred]) as readonly Outline[];
      signature = { id: this.#signatures.size, kernel, attrs: counted, inputs: specs, outputs: outlines.map(({ shape, dtype }) => specOf(shape, dtype)), list: list || kernel.list === true };
      this.#signatures.set(key, signature);
    }
    const outputs = signature.outputs.map((spec) => new Value(spec, kernel.name));
    const node: RecordedNode = { signature, inputs, outputs, mark: 0 };
    for (const value of outputs) value.maker = node;
    this.#recorded.push(node);
    stats.nodes++;
    stats.values += outputs.length;
    if (this.#recorded.length > this.#sweepAt) this.#sweep();
    return outputs;
  }

  /** Forgets nodes whose results nobody can ask for any more. */
  #sweep(): void {
    this.#recorded = [...layOut(this.#recorded).nodes];
    this.#sweepAt = this.#recorded.length * 2 + sweepAfter;
  }

  // Running.

  /** Frees all compiled graphs and the memory they hold between runs; those still wanted are compiled anew. */
  forgetGraphs(): void { this.#plans.clear(); }

  /** Runs everything that is recorded and still wanted. What counts as wanted is settled before this returns; the promise resolves when the run has ended. */
  flush(): Promise<void> {
    if (this.#recorded.length === 0) return this.#last;
    const started = performance.now();
    const layout = layOut(this.#recorded);
    this.#recorded = [];
    this.#sweepAt = sweepAfter;
    const { leaves, results, nodes } = layout;
    if (nodes.length === 0) { this.#freeParted(); return this.#last; }
    stats.matching += (performance.now() - started) / 1e3;
    const failed = leaves.find(({ failure }) => failure);
    if (failed) return this.#failed(results, failed.failure, nodes.length);
    try {
      const plan = this.#planned(layout);
      const ended = this.#run(plan, layout).then(() => { for (const value of results) value.ready = undefined; }, (cause: unknown) => {
        this.#plans.remove(plan);
        const failure = this.#explain(cause, nodes.length);
        for (const value of results) [value.failure, value.ready] = [failure, undefined];
        throw failure;
      });
      for (const value of results) value.ready = ended.catch(() => {});
      this.#last = ended;
      ended.catch(() => {});
      return ended;
    } catch (cause) {
      return this.#failed(results, cause, nodes.length);
    }
  }

  /** The plan of a layout, on its way to being compiled if it is new. */
  #planned(layout: Layout): Plan {
    const started = performance.now();
    const { plan, fresh } = this.#plans.find(layout);
    stats[fresh ? 'building' : 'matching'] += (performance.now() - started) / 1e3;
    if (fresh) {
      stats.compilations++;
      this.executor.compile(plan.id, plan.model as Uint8Array, layout.results.map(({ spec }) => spec));
      plan.model = undefined;
    }
    return plan;
  }

  /** Asks for a run. Memory that only the run needs is given back at once: the executor keeps the order. */
  #run(plan: Plan, { leaves, constants, results }: Layout): Promise<void> {
    const started = performance.now();
    const passing: Stored[] = [];
    const fetched: Fed[] = [];
    try {
      const feeds = [...leaves, ...constants.filter((_, i) => plan.builtIn[i] === undefined)].map((value) => ({ stored: this.#fed(value, passing), spec: value.spec }));
      for (const { spec } of results) fetched.push({ stored: this.executor.allocate(spec), spec });
      const run = this.executor.run(plan.id, feeds, fetched);
      results.forEach((value, i) => { [value.maker, value.stored] = [undefined, fetched[i]?.stored]; });
      return run;
    } catch (cause) {
      for (const { stored } of fetched) this.executor.free(stored);
      throw cause;
    } finally {
      for (const stored of passing) this.executor.free(stored);
      this.#freeParted();
      stats.matching += (performance.now() - started) / 1e3;
    }
  }

  #explain(cause: unknown, nodes: number): EngineError {
    const message = cause instanceof Error ? cause.message : String(cause);
    const wayOut = /memory|alloc|buffer size/i.test(message)
      ? `; it ran out of memory with ${(stats.bytes / 2 ** 30).toFixed(1)} GiB in tensors: use a smaller batch or image size, or compute activations anew for gradients (src/models/checkpointing.ts)` : '';
    return new EngineError(this.name, `a graph of ${nodes} operations failed on ${this.name}: ${message}${wayOut}`, cause);
  }

  #failed(results: readonly Value[], cause: unknown, nodes: number): Promise<void> {
    const failure = cause instanceof EngineError ? cause : this.#explain(cause, nodes);
    for (const value of results) [value.failure, value.maker] = [failure, undefined];
    this.#freeParted();
    const rejected = Promise.reject(failure);
    rejected.catch(() => {});
    return rejected;
  }

  #freeParted(): void {
    for (const stored of this.#parting) this.executor.free(stored);
    this.#parting = [];
  }

  /** The executor's memory of a value that a graph reads, filled if it is not yet. */
  #fed(value: Value, passing: Stored[]): Stored {
    if (value.stored) return value.stored;
    if (!value.data) throw new EngineError(value.origin, `the result of ${value.origin} is read by a graph but was never computed`);
    const stored = this.executor.upload(value.spec, value.data);
    stats.uploaded += stored.bytes;
    if (value.refs <= 0) { passing.push(stored); return stored; }
    value.stored = stored;
    if (stored.bytes > keepWritten && stored.buffer) value.data = undefined;
    return stored;
  }
}
