import { createHash } from 'node:crypto';
import { type Server, createServer } from 'node:http';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type HubOptions, fetchRepository } from '../../../src/models/weights/hub.ts';

type File = { path: string; body: Buffer; lfs?: boolean; sha?: string };

const hash = (kind: string, ...parts: (string | Buffer)[]): string => parts.reduce((sum, part) => sum.update(part), createHash(kind)).digest('hex');

/** What the server has, was asked, and how it misbehaves. */
let files: File[];
let requests: { url: string; range: string | undefined; token: string | undefined }[];
let cutAt: number | undefined;
let status: number;
let ranges: boolean;
let server: Server;
let cache: string;

const listing = (): unknown[] => [{ type: 'directory', path: 'unet' }, ...files.map(({ path, body, lfs, sha }) => ({
  type: 'file', path, size: body.length, oid: sha ?? hash('sha1', `blob ${body.length}\0`, body), ...(lfs && { lfs: { oid: sha ?? hash('sha256', body), size: body.length } }),
}))];

beforeAll(async () => {
  server = createServer((request, response) => {
    const url = request.url as string;
    const { range, authorization } = request.headers;
    requests.push({ url, range, token: authorization });
    if (status !== 200) { response.writeHead(status).end(); return; }
    if (url.startsWith('/api/')) { response.setHeader('content-type', 'application/json'); response.end(JSON.stringify(listing())); return; }
    const file = files.find(({ path }) => url === `/o/r/resolve/main/${path}`);
    if (!file) { response.writeHead(404).end(); return; }
    const from = ranges && range ? Number(/bytes=(\d+)-/.exec(range)?.[1]) : 0;
    response.writeHead(from > 0 ? 206 : 200, { 'content-length': file.body.length - from });
    if (cutAt === undefined || !file.path.endsWith('.safetensors')) { response.end(file.body.subarray(from)); return; }
    response.write(file.body.subarray(from, cutAt), () => { setTimeout(() => { response.destroy(); }, 100); });
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
});
afterAll(() => { server.close(); });
beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), 'hub-'));
  files = [
    { path: 'model_index.json', body: Buffer.from('{}') }, { path: 'unet/config.json', body: Buffer.from('{"a":1}') },
    { path: 'unet/model.safetensors', body: Buffer.alloc(5000, 7), lfs: true }, { path: 'unet/model.fp16.safetensors', body: Buffer.alloc(50, 8), lfs: true },
    { path: 'unet/model.bin', body: Buffer.alloc(5), lfs: true }, { path: 'vae/model.safetensors', body: Buffer.alloc(60, 9), lfs: true }, { path: 'README.md', body: Buffer.from('x') },
  ];
  requests = [];
  [cutAt, status, ranges] = [undefined, 200, true];
});
afterEach(async () => { await rm(cache, { recursive: true, force: true }); });

const run = (options: HubOptions = {}): Promise<E.Either<Error, string>> => fetchRepository('o/r', { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, cache, token: undefined, ...options })();
const failure = (result: E.Either<Error, string>): string => { if (E.isRight(result)) throw new Error('it worked'); return result.left.message; };

describe('fetchRepository', () => {
  it('fetches configurations and safetensors, and nothing else', async () => {
    const result = await run({ token: 'secret' });
    if (E.isLeft(result)) throw result.left;
    expect(await readFile(join(result.right, 'unet', 'model.safetensors'))).toEqual(Buffer.alloc(5000, 7));
    expect(requests.map(({ url }) => url).slice(1)).toEqual(['model_index.json', 'unet/config.json', 'unet/model.safetensors', 'vae/model.safetensors'].map((path) => `/o/r/resolve/main/${path}`));
    expect(requests.every(({ token }) => token === 'Bearer secret')).toBe(true);
  });

  it('asks nothing more of the network once all is there', async () => {
    const first = await run({ parts: ['unet'], variant: 'fp16' });
    expect(requests.map(({ url }) => url).slice(1)).toEqual(['model_index.json', 'unet/config.json', 'unet/model.fp16.safetensors'].map((path) => `/o/r/resolve/main/${path}`));
    requests = [];
    expect(await run({ parts: ['unet'], variant: 'fp16' })).toEqual(first);
    expect(requests).toEqual([]);
    expect(E.isRight(await run({ parts: ['unet'] }))).toBe(true);
    expect(requests.map(({ url }) => url).slice(1)).toEqual(['/o/r/resolve/main/unet/model.safetensors']);
  });

  it.each([['with', true], ['without', false]])('goes on where it broke off, %s ranges', async (_how, supported) => {
    ranges = supported;
    cutAt = 2000;
    expect(failure(await run({ parts: ['unet'] }))).toMatch(/o\/r: unet\/model.safetensors broke off at \d+ of 5000 bytes; ask again/);
    cutAt = undefined;
    requests = [];
    const result = await run({ parts: ['unet'] });
    if (E.isLeft(result)) throw result.left;
    expect(requests.at(-1)?.range).toMatch(/^bytes=[1-9]\d*-$/);
    expect(await readFile(join(result.right, 'unet', 'model.safetensors'))).toEqual(Buffer.alloc(5000, 7));
  });

  it('removes what does not have its checksum, of both kinds', async () => {
    for (const file of [files[0], files[5]] as File[]) {
      file.sha = '0'.repeat(64);
      expect(failure(await run())).toMatch(new RegExp(`o/r: ${file.path} has checksum [0-9a-f]+ but 0+ was expected: it was damaged on the way, and has been removed`));
      await expect(stat(join(cache, 'o', 'r', 'main', `${file.path}.part`))).rejects.toThrow();
      delete file.sha;
    }
    expect(E.isRight(await run())).toBe(true);
  });

  it('starts over from a rest that is longer than the file', async () => {
    await run();
    const path = join(cache, 'o', 'r', 'main', 'vae', 'model.safetensors');
    await rm(path);
    await writeFile(`${path}.part`, Buffer.alloc(100));
    expect(E.isRight(await run())).toBe(true);
    expect(await readFile(path)).toEqual(Buffer.alloc(60, 9));
  });

  it('says what to do where access is refused, nothing is there, or the network is closed', async () => {
    status = 401;
    expect(failure(await run())).toMatch(/answered 401: access is not granted; set HF_TOKEN/);
    status = 404;
    expect(failure(await run())).toMatch(/answered 404: there is no such repository, revision or file/);
    status = 500;
    expect(failure(await run())).toMatch(/answered 500: fetch it on another machine/);
    expect(failure(await run({ endpoint: 'http://127.0.0.1:9' }))).toMatch(/127.0.0.1:9 cannot be reached \(.+\): fetch it on another machine \(huggingface-cli download, or git lfs clone\) and give its folder instead/);
  });

  it('refuses names that are no repositories, repositories without weights, and files outside of them', async () => {
    expect(failure(await fetchRepository('../etc', { cache })())).toMatch(/expected a repository as owner\/name/);
    files = [{ path: 'config.json', body: Buffer.from('{}') }];
    expect(failure(await run({ variant: 'fp16' }))).toMatch(/there are no safetensors of variant fp16 in it/);
    files = [{ path: '../../evil.json', body: Buffer.from('{}') }];
    expect(failure(await run())).toMatch(/the listing has a file outside of it/);
  });
});
