/** The command line of the export, from a run that it finds on disk to a file that another runtime reads. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as runtime from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Runs a pipeline file; resolves to what it printed and how it ended. */
const node = (...args: string[]): Promise<{ text: string; status: number }> => new Promise((resolve) => {
  execFile(process.execPath, args, { cwd: root, env: { ...process.env, MILLRACE_BACKEND: 'onnx-cpu' } }, (error, stdout, stderr) => {
    resolve({ text: stdout + stderr, status: typeof error?.code === 'number' ? error.code : error ? 1 : 0 });
  });
});

describe('pipelines/export.ts', () => {
  let folder = '';
  let run = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'millrace-export-'));
    run = join(folder, 'regression', 'latest');
    const settings = ['data.size=16', 'data.batch=2', 'network.base=8', 'network.multipliers=[1,2]'].flatMap((setting) => ['--set', setting]);
    const { text, status } = await node('pipelines/regression.ts', '--data', 'fixtures/tiny', '--out', folder, '--steps', '1', ...settings);
    if (status !== 0) throw new Error(text);
  }, 120_000);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('writes a file of the training size that says what it is', async () => {
    const out = join(folder, 'fixed.onnx');
    const { text, status } = await node('pipelines/export.ts', '--run', run, '--out', out);
    expect(text).toMatch(/16 x 16 pixels: largest difference from the network \d\.\de-\d+/);
    expect(text).toMatch(/fixed\.onnx: regression at step 1, .* takes source \[1, 16, 16, 3\]/);
    expect(status).toBe(0);
    expect(Number(/network (\S+) /.exec(text)?.[1])).toBeLessThan(1e-5);
    const session = await runtime.InferenceSession.create(await readFile(out));
    const { image } = await session.run({ source: new runtime.Tensor('float32', new Float32Array(768), [1, 16, 16, 3]) });
    expect(image?.dims).toEqual([1, 16, 16, 3]);
    await session.release();
  });

  it('writes a file for every size, in half precision', async () => {
    const out = join(folder, 'free.onnx');
    const { text } = await node('pipelines/export.ts', '--run', run, '--out', out, '--dynamic', '--half');
    expect(text).toContain('takes source [1, height, width, 3]');
    const session = await runtime.InferenceSession.create(await readFile(out));
    const { image } = await session.run({ source: new runtime.Tensor('float32', new Float32Array(22 * 30 * 3), [1, 22, 30, 3]) });
    expect(image?.dims).toEqual([1, 22, 30, 3]);
    await session.release();
  });

  it('writes the decoder of an autoencoder by itself', async () => {
    const settings = ['data.size=16', 'data.batch=2', 'network.base=8', 'network.multipliers=[1,2]', 'network.channels=3'].flatMap((setting) => ['--set', setting]);
    const trained = await node('pipelines/vae.ts', '--data', 'fixtures/tiny', '--out', folder, '--steps', '1', ...settings);
    expect(trained.status, trained.text).toBe(0);
    const out = join(folder, 'decoder.onnx');
    const { text } = await node('pipelines/export.ts', '--run', join(folder, 'vae', 'latest'), '--out', out, '--part', 'decoder');
    expect(text).toMatch(/8 x 8 latent cells: largest difference from the network \d\.\de-\d+\n.*takes source \[1, 8, 8, 3\]/);
    const session = await runtime.InferenceSession.create(await readFile(out));
    const { image } = await session.run({ source: new runtime.Tensor('float32', new Float32Array(192), [1, 8, 8, 3]) });
    expect(image?.dims).toEqual([1, 16, 16, 3]);
    await session.release();
  }, 60_000);

  it.each([
    [['--part', 'decoder'], /--part: expected no part, since regression has none but received decoder/],
    [['--run', 'nowhere'], /nowhere: expected a run folder but found nothing/],
    [['--size', '17'], /--size: expected a multiple of 2 but received 17/],
    [['--size', '16', '--dynamic'], /expected either --size or --dynamic but received both/],
  ])('says what is wrong with %o', async (args, message) => {
    const { text, status } = await node('pipelines/export.ts', '--run', run, '--out', join(folder, 'none.onnx'), ...args);
    expect(text).toMatch(message);
    expect(status).toBe(1);
  });
});
