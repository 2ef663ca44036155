/** Which executors there are, in the order they are tried, and what is needed for each. Nothing of a GPU package is loaded before it is chosen. */
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { EngineError } from '../errors.ts';

export const executors = ['node-gpu', 'onnx-webgpu', 'onnx-cpu', 'cpu'] as const;
export type ExecutorName = (typeof executors)[number];

/** The executor that `MILLRACE_BACKEND` asks for. @throws EngineError when it is none of them */
export const forcedExecutor = (value: string | undefined): ExecutorName | undefined => {
  if (value === undefined || value === '') return undefined;
  const name = executors.find((known) => known === value);
  if (name === undefined) throw new EngineError(value, `MILLRACE_BACKEND: expected ${executors.join(', ')} but received ${value}`);
  return name;
};

const gpuPackage = '@tensorflow/tfjs-node-gpu';

/** Device files of a Linux machine that stand for a GPU; undefined where there is no telling. */
const gpuDevices = (): string[] | undefined => {
  if (process.platform !== 'linux') return undefined;
  const rendering = existsSync('/dev/dri') ? readdirSync('/dev/dri').filter((name) => name.startsWith('renderD')).map((name) => `/dev/dri/${name}`) : [];
  return [...rendering, ...['/dev/nvidia0', '/dev/dxg'].filter(existsSync)];
};

/** Vulkan drivers that compute on the CPU. */
const software = /swiftshader|lavapipe|lvp_icd|llvmpipe/i;

/** Why an executor is not worth a try on this machine, in the time of a few file lookups; undefined when it is. */
export const whyNot = (name: ExecutorName, environment: NodeJS.ProcessEnv = process.env): string | undefined => {
  if (name === 'node-gpu') {
    try { createRequire(import.meta.url).resolve(gpuPackage); } catch { return `the optional package ${gpuPackage} is not installed (its install downloads libtensorflow, which may have failed)`; }
    if (process.platform === 'linux' && !existsSync('/dev/nvidia0')) return 'no CUDA device (/dev/nvidia0) on this machine';
  }
  if (name === 'onnx-webgpu') {
    const driver = environment['VK_DRIVER_FILES'] ?? environment['VK_ICD_FILENAMES'] ?? '';
    if (software.test(driver)) return `its Vulkan driver ${driver} is software`;
    if (gpuDevices()?.length === 0) return 'no GPU on this machine';
  }
  return undefined;
};

/** Loads tfjs-node-gpu and makes it TensorFlow.js's backend. */
export const startNodeGpu = async (setBackend: (name: string) => Promise<boolean>): Promise<string> => {
  const { default: util } = await import('node:util');
  // tfjs-node calls this, which Node 23 took away.
  const mended = util as { isNullOrUndefined?: (value: unknown) => boolean };
  mended.isNullOrUndefined ??= (value) => value === null || value === undefined;
  process.env['TF_FORCE_GPU_ALLOW_GROWTH'] ??= 'true';
  process.env['TF_CPP_MIN_LOG_LEVEL'] ??= '1';
  const loaded = await import(gpuPackage) as { backend?: () => { isUsingGpuDevice?: boolean } };
  if (!await setBackend('tensorflow')) throw new Error('TensorFlow.js refused it');
  if (loaded.backend?.().isUsingGpuDevice === false) throw new Error('libtensorflow found no GPU it can use');
  return 'a CUDA GPU, by libtensorflow';
};
