/** Starts the lazy backend and makes it the one that TensorFlow.js uses. */
import { availableParallelism } from 'node:os';
import * as tf from '../../tf.ts';
import { EngineError } from '../../errors.ts';
import { OnnxBackend } from './backend.ts';
import { cpuExecutor, gpuExecutor } from './executor.ts';
import { Graph } from './graph.ts';
import { kernels, shortcuts } from './kernels/index.ts';
import { registerKernels } from './register.ts';
import { localRunner, workerRunner, workersWork } from './runner.ts';
import type { SessionSettings } from './sessions.ts';

/** A graph that does next to nothing: whether it runs tells whether the provider does. */
const trial = (): Uint8Array => {
  const graph = new Graph();
  return graph.encode('trial', [graph.elementwise('Add', [graph.input([1], 'float32'), graph.scalar(1)])]);
};

/**
 * @param options.threads how many threads share the work of one operation on the CPU
 * @param options.worker whether graphs run in a thread of their own
 * @param options.profile prefix of the runtime's profiles, one file a session; none by default
 * @throws EngineError when the runtime cannot be loaded, or finds no device
 */
export const startOnnx = async (name: 'onnx-cpu' | 'onnx-webgpu', { threads = availableParallelism(), worker = workersWork(), profile }: { threads?: number; worker?: boolean; profile?: string } = {}): Promise<OnnxBackend> => {
  const settings: SessionSettings = { provider: name === 'onnx-cpu' ? 'cpu' : 'webgpu', threads, ...(profile !== undefined && { profile }) };
  const runner = worker ? workerRunner(settings) : localRunner(settings);
  let block = 0;
  try {
    if (name === 'onnx-webgpu') await runner('compile', -1, trial(), [4]);
    block = await runner('blockSize');
  } catch (cause) {
    await runner('dispose').catch(() => {});
    throw new EngineError(name, cause instanceof Error ? cause.message : String(cause), cause);
  }
  const backend = new OnnxBackend(name, name === 'onnx-cpu' ? cpuExecutor(runner, `${threads} CPU thread${threads === 1 ? '' : 's'}`, { block, branches: true }, worker) : gpuExecutor(runner, 'a WebGPU adapter', {}));
  tf.registerBackend(name, () => backend);
  registerKernels(name, kernels, shortcuts);
  if (!await tf.setBackend(name)) throw new EngineError(name, `TensorFlow.js refused the backend ${name}`);
  return backend;
};
