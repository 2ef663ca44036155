/** Starts the lazy backend and makes it the one that TensorFlow.js uses. */
import * as tf from '../../tf.ts';
import { EngineError } from '../../errors.ts';
import { OnnxBackend, registerKernels } from './backend.ts';
import { cpuExecutor } from './cpu.ts';
import { kernels, shortcuts } from './kernels/index.ts';

/** @throws EngineError when the runtime cannot be loaded */
export const startOnnx = async (name: 'onnx-cpu'): Promise<OnnxBackend> => {
  const executor = await cpuExecutor(process.env['MILLRACE_WORKER'] === '0' ? { worker: false } : {});
  const backend = new OnnxBackend(name, executor);
  tf.registerBackend(name, () => backend);
  registerKernels(name, kernels, shortcuts);
  if (!await tf.setBackend(name)) throw new EngineError(name, `TensorFlow.js refused the backend ${name}`);
  return backend;
};
