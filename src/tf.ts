/**
 * The only door to TensorFlow.js. Everything else imports tensors from here, so that which executor runs them is decided in one place.
 */
import * as tf from '@tensorflow/tfjs';

export * from '@tensorflow/tfjs';

/** What runs the tensors of this process. */
export type EngineInfo = Readonly<{
  /** `node-gpu`, `onnx-webgpu`, `onnx-cpu` or `cpu`. */
  name: string;
  /** The device in words, such as `2 CPU threads` or the adapter's name. */
  device: string;
  /** Executors that were tried first, and why each was passed over. */
  passedOver: readonly Readonly<{ name: string; why: string }>[];
}>;

/**
 * Starts the executor (once; later calls return the same promise). Nothing may make a tensor before this has resolved.
 * @throws Error when `MILLRACE_BACKEND` forces an executor that cannot start; the message says why and the way out
 */
export const startEngine = async (): Promise<EngineInfo> => {
  await tf.setBackend('cpu');
  await tf.ready();
  return { name: 'cpu', device: 'pure JavaScript', passedOver: [] };
};

/**
 * Ends a step: runs everything recorded so far as one graph and resolves when the results exist. Tensors that are alive now are results;
 * tensors already disposed cost nothing but their part in the computation. On an eager executor there is nothing to do.
 */
export const flush = async (): Promise<void> => {};
