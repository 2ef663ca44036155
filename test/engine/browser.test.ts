/** An exported file in a real browser: onnxruntime-web in Debian's chromium. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Browser, chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exportNetwork } from '../../src/engine/export.ts';
import { applyNet, makeNet } from '../../src/models/net.ts';
import { turboGenerator } from '../../src/models/turbo.ts';
import { seeded, uniform } from '../../src/random.ts';
import * as tf from '../../src/tf.ts';

const executablePath = '/usr/bin/chromium';
const runtime = fileURLToPath(new URL('../../node_modules/onnxruntime-web/dist', import.meta.url));
const missing = !existsSync(executablePath) ? `no ${executablePath} (apt-get install chromium)` : !existsSync(runtime) ? 'onnxruntime-web is not installed' : undefined;
if (missing !== undefined) console.log(`no browser was tested: ${missing}`);

const kinds: Readonly<Record<string, string>> = { '.mjs': 'text/javascript', '.wasm': 'application/wasm', '.html': 'text/html' };

type Answer = (source: number[]) => Promise<{ data: number[]; dims: number[] }>;

const page = `<!doctype html><title>test</title><script type="module">
import * as ort from '/ort.wasm.min.mjs';
ort.env.wasm.wasmPaths = '/';
ort.env.wasm.numThreads = 1;
globalThis.answer = async (source) => {
  const session = await ort.InferenceSession.create('/model.onnx', { executionProviders: ['wasm'] });
  const { image } = await session.run({ source: new ort.Tensor('float32', Float32Array.from(source), [1, 16, 12, 3]) });
  return { data: Array.from(image.data), dims: [...image.dims] };
};
</script>`;

/** Serves the runtime's files, an empty page and models by name. */
const serve = async (models: ReadonlyMap<string, Uint8Array>): Promise<Server> => {
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://localhost').pathname;
    const answer = async (): Promise<Uint8Array | string> => (path === '/' ? page : models.get(path) ?? await readFile(join(runtime, path)));
    answer().then((body) => {
      response.writeHead(200, { 'content-type': path === '/' ? 'text/html' : kinds[extname(path)] ?? 'application/octet-stream' });
      response.end(body);
    }, () => { response.writeHead(404).end(); });
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return server;
};

describe.skipIf(missing !== undefined)('an exported file in onnxruntime-web', () => {
  const models = new Map<string, Uint8Array>();
  let server: Server;
  let browser: Browser;
  beforeAll(async () => {
    server = await serve(models);
    browser = await chromium.launch({
      executablePath, headless: true, timeout: 60_000,
      args: ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
    });
  }, 90_000);
  afterAll(async () => {
    await browser?.close();
    server?.close();
  });

  it.each([{ half: false, dynamic: false }, { half: false, dynamic: true }, { half: true, dynamic: false }])('answers as the network does: %o', async ({ half, dynamic }) => {
    const net = makeNet(turboGenerator({ channels: 3, base: 8, multipliers: [1, 2], depth: 1, groups: 4, skipInit: 1e-2, residual: true }), { key: seeded(1) });
    const network = (source: tf.Tensor4D) => applyNet(net)(source, tf.ones([1, 1, 1, 1])) as tf.Tensor4D;
    const { bytes } = await exportNetwork('turbo', network, { size: dynamic ? [2, 2] : [16, 12], dynamic, half });
    models.set('/model.onnx', bytes);
    const values = uniform(seeded(4), 16 * 12 * 3).map((x) => 2 * x - 1);
    const expected = tf.tidy(() => network(tf.tensor4d(values, [1, 16, 12, 3])));
    const tab = await browser.newPage();
    try {
      await tab.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
      const answer = await tab.evaluate((source) => (globalThis as unknown as { answer: Answer }).answer(source), Array.from(values));
      expect(answer.dims).toEqual([1, 16, 12, 3]);
      const wanted = await expected.data() as Float32Array;
      const error = wanted.reduce((worst: number, x: number, i: number) => Math.max(worst, Math.abs(x - (answer.data[i] as number))), 0);
      expect(error).toBeLessThan(half ? 5e-3 : 1e-5);
    } finally {
      await tab.close();
      expected.dispose();
      tf.dispose({ ...net.variables });
    }
  }, 90_000);
});
