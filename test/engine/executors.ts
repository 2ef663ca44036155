/** The executors of ours that this machine can run, for suites that hold all of them to the same. */
import { existsSync } from 'node:fs';
import { startOnnx } from '../../src/engine/onnx/start.ts';
import { startEngine } from '../../src/tf.ts';

export type Tested = Readonly<{
  name: string;
  /** Registers it with TensorFlow.js. */
  start: () => Promise<unknown>;
  /** Why it cannot be tested here. */
  missing?: string;
}>;

/** Debian's chromium brings SwiftShader, a WebGPU adapter in software: right answers, for tests of tiny shapes. */
export const softwareAdapter = '/usr/lib/chromium/vk_swiftshader_icd.json';

const startWebGpu = async (): Promise<void> => {
  await startEngine();
  if (process.env['MILLRACE_BACKEND'] === 'onnx-webgpu') return;
  process.env['VK_DRIVER_FILES'] ??= softwareAdapter;
  await startOnnx('onnx-webgpu');
};

/** Why WebGPU cannot be tested here. */
export const webGpuMissing = process.env['VK_DRIVER_FILES'] === undefined && !existsSync(softwareAdapter) ? `no ${softwareAdapter} (apt-get install chromium)` : undefined;

export const executors: readonly Tested[] = [
  { name: 'onnx-cpu', start: startEngine },
  { name: 'onnx-webgpu', start: startWebGpu, ...(webGpuMissing !== undefined && { missing: webGpuMissing }) },
];
