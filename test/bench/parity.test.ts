import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { relativeError } from '../../bench/parity/compare.ts';
import { generatedWeights, ruleWeights } from '../../bench/parity/golden.ts';

const root = new URL('../../', import.meta.url).pathname;
const golden = join(root, 'test/goldens/models/autoencodertiny-bilinear');

let folder: string;
beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), 'parity-')); });
afterAll(async () => { await rm(folder, { recursive: true, force: true }); });

/** Runs the command as a user does. */
const parity = async (...args: string[]): Promise<Readonly<{ code: number; out: string }>> => {
  const run = promisify(execFile)(join(root, 'node_modules/.bin/node'), [join(root, 'bench/parity.ts'), ...args], { env: { ...process.env, MILLRACE_BACKEND: 'cpu' } });
  return run.then(({ stdout }) => ({ code: 0, out: stdout }), ({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) => ({ code, out: stdout + stderr }));
};

/** A copy of a golden with another manifest. */
const changed = async (name: string, change: (manifest: Record<string, unknown>) => Record<string, unknown>): Promise<string> => {
  const place = join(folder, name, 'models', name);
  await cp(golden, place, { recursive: true });
  const manifest = JSON.parse(await readFile(join(place, 'manifest.json'), 'utf8')) as Record<string, unknown>;
  await writeFile(join(place, 'manifest.json'), JSON.stringify(change(manifest)));
  return join(folder, name);
};

it('finds goldens below a folder, prints a table and succeeds when all agree', async () => {
  const { code, out } = await parity(await changed('sound', (manifest) => manifest));
  expect(out).toMatch(/^pass {2}models\/autoencodertiny-bilinear +\d\.\d+e-\d+ of \d/m);
  expect(out).toMatch(/1 of 1 goldens pass/);
  expect(code).toBe(0);
});

it('fails on a number outside its tolerance, on a kind and on a field it does not know, beside goldens that pass', async () => {
  const folders = [
    await changed('tight', (manifest) => ({ ...manifest, name: 'tight', tolerance: { forward: 1e-12, gradient: 1e-12 } })),
    await changed('strange', (manifest) => ({ ...manifest, name: 'strange', config: { class: 'UNet9DModel', init: {} } })),
    await changed('field', (manifest) => ({ ...manifest, name: 'field', config: { class: 'AutoencoderTiny', init: { latent_chanels: 4 } } })),
    await changed('well', (manifest) => manifest),
  ];
  const { code, out } = await parity(...folders);
  expect(out).toMatch(/^FAIL {2}tight/m);
  expect(out).toMatch(/^FAIL {2}strange .*no handler for this kind \(group models, UNet9DModel\)/m);
  expect(out).toMatch(/^FAIL {2}field .*latent_chanels is not known \(is latent_channels meant\?\)/m);
  expect(out).toMatch(/1 of 4 goldens pass/);
  expect(code).toBe(1);
});

it('fails where there is nothing to find, and says how it is used', async () => {
  expect(await parity(join(root, 'docs'))).toMatchObject({ code: 1, out: expect.stringMatching(/no manifest.json below/) as string });
  expect(await parity()).toMatchObject({ code: 2, out: expect.stringMatching(/usage: npm run parity/) as string });
  expect(await parity('--no', golden)).toMatchObject({ code: 2, out: expect.stringMatching(/unknown option --no/) as string });
});

it('measures max|a - b| / max|b|, and takes what is no number for infinitely wrong', () => {
  expect(relativeError([1, 2], [1, 4])).toBe(0.5);
  expect(relativeError([1e-7], [0])).toBeCloseTo(0.1, 6);
  expect(relativeError([NaN], [1])).toBe(Infinity);
  expect(relativeError([1], [NaN])).toBe(Infinity);
  expect(relativeError([1], [1, 2])).toBe(Infinity);
});

it('makes weights from formulas', () => {
  const { a } = generatedWeights([{ name: 'a', shape: [2], scale: 1 }], 5);
  // x1 = 1664525 * 5 + 1013904223, x2 = 1664525 * x1 + 1013904223, modulo 2^32.
  expect(a?.data).toEqual(Float32Array.of((1_022_226_848 / 2 ** 32 - 0.5) * 2, (3_144_284_287 / 2 ** 32 - 0.5) * 2));
  const spec = (shape: readonly number[]): { shape: readonly number[]; init: () => Float32Array; buffer: boolean; adaptable: boolean } => ({ shape, init: () => new Float32Array(0), buffer: false, adaptable: false });
  const made = ruleWeights(new Map([['n.weight', spec([3])], ['c.weight', spec([1, 4])], ['n.num_batches_tracked', spec([])]]), { seed: 1, tensors: 3 });
  expect(Math.abs((made['n.weight']?.data[0] as number) - 1)).toBeLessThan(0.1);
  expect(made['n.num_batches_tracked']?.data[0]).toBe(0);
  expect(made['c.weight']?.data.every((x) => Math.abs(x) <= 0.6)).toBe(true);
  expect(() => ruleWeights(new Map(), { seed: 1, tensors: 3 })).toThrow(/expected 3 tensors but the network has 0/);
});
