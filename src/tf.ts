/**
 * The only door to TensorFlow.js. Everything else imports tensors from here, so that which executor runs them is decided in one place.
 */
import * as tf from '@tensorflow/tfjs';
import { type ExecutorName, executors, forcedExecutor, startNodeGpu, whyNot } from './engine/choose.ts';
import { EngineError } from './errors.ts';

export * from '@tensorflow/tfjs';
export { type EngineStats, engineStats, resetEngineStats } from './engine/stats.ts';

/** What runs the tensors of this process. */
export type EngineInfo = Readonly<{
  /** `node-gpu`, `onnx-webgpu`, `onnx-cpu` or `cpu`. */
  name: string;
  /** The device in words, such as `2 CPU threads` or the adapter's name. */
  device: string;
  /** Executors that were tried first, and why each was passed over. */
  passedOver: readonly Readonly<{ name: string; why: string }>[];
}>;

/** The part of the lazy backend that this file speaks to. */
type Lazy = { flush: () => Promise<void>; forgetGraphs: () => void; writing: boolean };

let lazy: Lazy | undefined;
let started: Promise<EngineInfo> | undefined;

/** Starts one executor; resolves to its device in words. */
const begin = async (name: ExecutorName): Promise<string> => {
  if (name === 'node-gpu') return startNodeGpu(tf.setBackend);
  if (name === 'cpu') {
    await tf.setBackend('cpu');
    // At its first use it would recommend tfjs-node, which runs on fewer machines than what was passed over for it here.
    Object.assign(tf.backend(), { firstUse: false });
    return 'pure JavaScript';
  }
  const { MILLRACE_WORKER: worker, MILLRACE_THREADS: threads, MILLRACE_PROFILE: profile } = process.env;
  const { startOnnx } = await import('./engine/onnx/start.ts');
  const backend = await startOnnx(name, { ...(worker === '0' && { worker: false }), ...(threads && { threads: Number(threads) }), ...(profile && { profile }) });
  lazy = backend;
  return backend.executor.device;
};

const wayOut = (name: ExecutorName): string => (name === 'node-gpu' ? 'install @tensorflow/tfjs-node-gpu where CUDA is, or leave MILLRACE_BACKEND unset'
  : name === 'onnx-webgpu' ? 'it needs a GPU with a Vulkan, Metal or Direct3D 12 driver; leave MILLRACE_BACKEND unset to run without one'
    : 'check that onnxruntime-node is installed for this platform, or use MILLRACE_BACKEND=cpu');

const start = async (): Promise<EngineInfo> => {
  const [{ registerGradients }, { fusedGradients }] = await Promise.all([import('./engine/gradients.ts'), import('./engine/fused.ts')]);
  registerGradients();
  for (const config of fusedGradients()) tf.registerGradient(config);
  const forced = forcedExecutor(process.env['MILLRACE_BACKEND']);
  const passedOver: { name: string; why: string }[] = [];
  for (const name of forced ? [forced] : executors) {
    try {
      const why = forced ? undefined : whyNot(name);
      if (why !== undefined) { passedOver.push({ name, why }); continue; }
      return { name, device: await begin(name), passedOver };
    } catch (cause) {
      const why = cause instanceof Error ? cause.message.split('\n')[0] as string : String(cause);
      if (forced) throw new EngineError(name, `MILLRACE_BACKEND=${name} cannot start: ${why}; ${wayOut(name)}`, cause);
      passedOver.push({ name, why });
    }
  }
  throw new EngineError('engine', `no executor can start: ${passedOver.map(({ name, why }) => `${name}: ${why}`).join('; ')}`);
};

/**
 * Starts the executor (once; later calls return the same promise). Nothing may make a tensor before this has resolved.
 * @throws EngineError when `MILLRACE_BACKEND` forces an executor that cannot start; the message says why and the way out
 */
export const startEngine = (): Promise<EngineInfo> => (started ??= start());

/**
 * Ends a step: runs everything recorded so far as one graph and resolves when the results exist. Tensors that are alive now are results;
 * tensors already disposed cost nothing but their part in the computation. On an eager executor there is nothing to do.
 */
export const flush = (): Promise<void> => lazy?.flush() ?? Promise.resolve();

/** Frees the compiled graphs of work that is over, with the memory they keep between runs: between two models that share nothing. On an eager executor there are none. */
export const forgetGraphs = (): void => { lazy?.forgetGraphs(); };

/** Marks what `make` writes as a value that changes from step to step, so that no graph is compiled with it built in. */
const written = <T>(make: () => T): T => {
  if (!lazy) return make();
  lazy.writing = true;
  try { return make(); } finally { lazy.writing = false; }
};

// Numbers given to these are data. Numbers given to operations, as in mul(x, 2), are part of the program.
export const scalar: typeof tf.scalar = (...args) => written(() => tf.scalar(...args));
export const tensor: typeof tf.tensor = (...args) => written(() => tf.tensor(...args));
export const tensor1d: typeof tf.tensor1d = (...args) => written(() => tf.tensor1d(...args));
export const tensor2d: typeof tf.tensor2d = (...args) => written(() => tf.tensor2d(...args));
export const tensor3d: typeof tf.tensor3d = (...args) => written(() => tf.tensor3d(...args));
export const tensor4d: typeof tf.tensor4d = (...args) => written(() => tf.tensor4d(...args));
