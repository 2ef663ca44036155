import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { EngineError } from '../src/errors.ts';
import { executors, forcedExecutor, whyNot } from '../src/engine/choose.ts';
import * as tf from '../src/tf.ts';

/** Starts the engine in a process of its own, adds 1 to [1, 2], and says what happened. */
const inProcess = async (environment: Record<string, string>): Promise<{ info?: tf.EngineInfo; values?: number[]; error?: { tag: string; message: string }; noise: string; seconds: number }> => {
  const script = `
    const tf = await import(${JSON.stringify(fileURLToPath(new URL('../src/tf.ts', import.meta.url)))});
    const started = performance.now();
    try {
      const info = await tf.startEngine();
      const seconds = (performance.now() - started) / 1e3;
      console.log(JSON.stringify({ info, seconds, values: Array.from(await tf.add(tf.tensor1d([1, 2]), 1).data()) }));
    } catch (error) {
      console.log(JSON.stringify({ error: { tag: error._tag, message: error.message, cause: String(error.cause) } }));
    }`;
  const node = fileURLToPath(new URL('../node_modules/node/bin/node', import.meta.url));
  const { stdout, stderr } = await promisify(execFile)(node, ['--input-type=module', '-e', script], { env: { ...process.env, MILLRACE_BACKEND: '', ...environment } });
  return { ...JSON.parse(stdout.trim().split('\n').at(-1) as string), noise: stdout.trim().split('\n').slice(0, -1).join('\n') + stderr };
};

describe('forcedExecutor', () => {
  it('knows four executors and none', () => {
    expect(executors.map((name) => forcedExecutor(name))).toEqual(['node-gpu', 'onnx-webgpu', 'onnx-cpu', 'cpu']);
    expect([undefined, ''].map(forcedExecutor)).toEqual([undefined, undefined]);
  });

  it('refuses others, naming those there are', () => {
    expect(() => forcedExecutor('cuda')).toThrow(EngineError);
    expect(() => forcedExecutor('cuda')).toThrow(/node-gpu, onnx-webgpu, onnx-cpu, cpu but received cuda/);
  });
});

describe('whyNot', () => {
  it('passes over a software driver', () => {
    expect(whyNot('onnx-webgpu', { VK_DRIVER_FILES: '/usr/lib/chromium/vk_swiftshader_icd.json' })).toMatch(/vk_swiftshader_icd.json is software/);
    expect(whyNot('onnx-webgpu', { VK_ICD_FILENAMES: '/usr/share/vulkan/icd.d/lvp_icd.x86_64.json' })).toMatch(/software/);
  });

  it('has nothing against the processor', () => {
    expect(whyNot('onnx-cpu')).toBeUndefined();
    expect(whyNot('cpu')).toBeUndefined();
  });
});

describe('startEngine', () => {
  it('is started once', () => { expect(tf.startEngine()).toBe(tf.startEngine()); });

  it('picks one by itself, says why it passed over others, and says nothing else', async () => {
    const { info, values, noise } = await inProcess({});
    expect(values).toEqual([2, 3]);
    const names = [...(info?.passedOver ?? []).map(({ name }) => name), info?.name];
    expect(names).toEqual(executors.slice(0, names.length));
    for (const { why } of info?.passedOver ?? []) expect(why.length).toBeGreaterThan(10);
    expect(noise).toBe('');
  });

  it('runs on the one it is told to, without the banner of TensorFlow.js', async () => {
    const { info, values, noise } = await inProcess({ MILLRACE_BACKEND: 'cpu' });
    expect(info).toEqual({ name: 'cpu', device: 'pure JavaScript', passedOver: [] });
    expect(values).toEqual([2, 3]);
    expect(noise).toBe('');
  });

  it('takes its number of threads from the environment', async () => {
    const { info } = await inProcess({ MILLRACE_BACKEND: 'onnx-cpu', MILLRACE_THREADS: '1', MILLRACE_WORKER: '0' });
    expect(info).toEqual({ name: 'onnx-cpu', device: '1 CPU thread', passedOver: [] });
  });

  it.skipIf(whyNot('node-gpu') === undefined)('says why a forced executor cannot start, and the way out', async () => {
    const { error } = await inProcess({ MILLRACE_BACKEND: 'node-gpu' });
    expect(error?.tag).toBe('EngineError');
    expect(error?.message).toMatch(/^MILLRACE_BACKEND=node-gpu cannot start: .*tfjs-node-gpu.*; .*leave MILLRACE_BACKEND unset/s);
  });

  it.skipIf(whyNot('onnx-webgpu') === undefined)('says that there is no adapter', async () => {
    const { error } = await inProcess({ MILLRACE_BACKEND: 'onnx-webgpu', VK_DRIVER_FILES: '/nowhere.json' });
    expect(error?.tag).toBe('EngineError');
    expect(error?.message).toMatch(/^MILLRACE_BACKEND=onnx-webgpu cannot start: .*adapter.*; it needs a GPU/s);
  });
});
