import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openStateDict, openWeights } from '../../../src/models/weights/openWeights.ts';
import { readStateDict } from '../../../src/models/weights/safetensors.ts';
import { saveSafetensors, saveSharded } from '../../../src/models/weights/saveSafetensors.ts';

let folder: string;
beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), 'save-')); });
afterAll(async () => { await rm(folder, { recursive: true, force: true }); });

const state = { b: { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) }, a: { shape: [3], data: Float32Array.of(-1, 0.5, 65_504) }, c: { shape: [], data: Float32Array.of(7) } };

describe('saveSafetensors', () => {
  it('writes a header of the format: metadata, names in order, data from 0, padded to eight bytes', async () => {
    const path = join(folder, 'one', 'a.safetensors');
    expect(await saveSafetensors(path, state, { metadata: { step: '5' } })()).toEqual(E.right(undefined));
    const file = await readFile(path);
    const length = Number(file.readBigUInt64LE());
    expect(length % 8).toBe(0);
    expect(JSON.parse(file.toString('utf8', 8, 8 + length))).toEqual({
      __metadata__: { format: 'pt', step: '5' }, a: { dtype: 'F32', shape: [3], data_offsets: [0, 12] }, b: { dtype: 'F32', shape: [2, 2], data_offsets: [12, 28] }, c: { dtype: 'F32', shape: [], data_offsets: [28, 32] },
    });
    expect(file.length).toBe(8 + length + 32);
    expect(await readdir(join(folder, 'one'))).toEqual(['a.safetensors']);
  });

  it.each(['F64', 'F32', 'F16', 'BF16'] as const)('saves as %s', async (dtype) => {
    const path = join(folder, `${dtype}.safetensors`);
    await saveSafetensors(path, state, { dtype })();
    const read = await readStateDict(path)();
    const rounded = dtype === 'BF16' ? { ...state, a: { shape: [3], data: Float32Array.of(-1, 0.5, 65_536) } } : state;
    expect(read).toEqual(E.right(rounded));
  });

  it('refuses values that do not fill their shape, and leaves the old file as it was', async () => {
    const path = join(folder, 'kept.safetensors');
    await saveSafetensors(path, state)();
    const before = await readFile(path);
    const result = await saveSafetensors(path, { a: { shape: [4], data: new Float32Array(3) } })();
    expect(E.isLeft(result) && result.left.message).toMatch(/kept.safetensors: cannot be written: tensor a: expected 4 values for \[4\] but received 3/);
    expect(await readFile(path)).toEqual(before);
    expect((await readdir(folder)).filter((name) => name.includes('.tmp') || name.includes('partial'))).toEqual([]);
  });

  it('refuses the one name that the format keeps for itself', async () => {
    const result = await saveSafetensors(join(folder, 'meta.safetensors'), { __metadata__: { shape: [1], data: new Float32Array(1) } })();
    expect(E.isLeft(result) && result.left.message).toMatch(/a tensor cannot be called __metadata__/);
  });

  it('says so when a file is in the way of the folder', async () => {
    await writeFile(join(folder, 'file'), '');
    const result = await saveSafetensors(join(folder, 'file', 'a.safetensors'), state)();
    expect(E.isLeft(result) && result.left.message).toMatch(/cannot be written/);
  });
});

describe('saveSharded', () => {
  it('writes one file when all fits', async () => {
    const place = join(folder, 'whole');
    expect(await saveSharded(place, 'model', state)()).toEqual(E.right([join(place, 'model.safetensors')]));
  });

  it('writes shards and then an index, and reads them as one', async () => {
    const place = join(folder, 'shards');
    const paths = await saveSharded(place, 'diffusion_pytorch_model', state, { maxBytes: 16 })();
    expect(E.isRight(paths) && paths.right.map((path) => path.slice(place.length + 1))).toEqual([
      'diffusion_pytorch_model-00001-of-00003.safetensors', 'diffusion_pytorch_model-00002-of-00003.safetensors', 'diffusion_pytorch_model-00003-of-00003.safetensors', 'diffusion_pytorch_model.safetensors.index.json',
    ]);
    expect(JSON.parse(await readFile(join(place, 'diffusion_pytorch_model.safetensors.index.json'), 'utf8'))).toEqual({
      metadata: { total_size: 32 },
      weight_map: { a: 'diffusion_pytorch_model-00001-of-00003.safetensors', b: 'diffusion_pytorch_model-00002-of-00003.safetensors', c: 'diffusion_pytorch_model-00003-of-00003.safetensors' },
    });
    const read = await openStateDict(place)();
    if (E.isLeft(read)) throw read.left;
    expect(Object.fromEntries(Object.entries(read.right).map(([name, { shape, data }]) => [name, { shape, data }]))).toEqual(state);
  });
});

describe('openWeights', () => {
  const refusal = async (path: string, variant?: string): Promise<string> => {
    const result = await openWeights(path, variant === undefined ? {} : { variant })();
    if (E.isRight(result)) throw new Error('it was opened');
    return result.left.message;
  };
  const folderOf = async (name: string, files: readonly string[]): Promise<string> => {
    for (const file of files) await saveSafetensors(join(folder, name, file), state)();
    return join(folder, name);
  };

  it('prefers diffusers\' name, then others, and takes the only file there is', async () => {
    expect(E.isRight(await openWeights(await folderOf('both', ['diffusion_pytorch_model.safetensors', 'diffusion_pytorch_model.fp16.safetensors']))())).toBe(true);
    expect(E.isRight(await openWeights(await folderOf('only', ['whatever.safetensors']))())).toBe(true);
    expect(E.isRight(await openWeights(join(folder, 'both'), { variant: 'fp16' })())).toBe(true);
  });

  it('asks for a choice between several, and names the variants that are there', async () => {
    expect(await refusal(await folderOf('several', ['x.safetensors', 'y.safetensors']))).toMatch(/several weight files, x.safetensors, y.safetensors: name one/);
    expect(await refusal(join(folder, 'both'), 'bf16')).toMatch(/no weights of variant bf16; there are diffusion_pytorch_model.fp16.safetensors, diffusion_pytorch_model.safetensors/);
  });

  it('refuses a pickle with the way to convert it', async () => {
    const place = await folderOf('pickle', []);
    await saveSafetensors(join(place, 'x', 'y.safetensors'), state)();
    await writeFile(join(place, 'diffusion_pytorch_model.bin'), 'x');
    expect(await refusal(place)).toMatch(/Python pickle, diffusion_pytorch_model.bin, .*save_file\(torch.load\("diffusion_pytorch_model.bin", .* "diffusion_pytorch_model.safetensors"\)/);
  });

  it('refuses a folder without weights, and a place without a folder', async () => {
    const place = await folderOf('empty', []);
    await saveSafetensors(join(place, 'x', 'y.safetensors'), state)();
    expect(await refusal(place)).toMatch(/no weights in it; expected one of diffusion_pytorch_model.safetensors/);
    expect(await refusal(join(folder, 'nowhere'))).toMatch(/cannot be read: ENOENT/);
  });

  it.each([
    ['no JSON', '{', /is no index of shards/],
    ['no map', '{"metadata": {}}', /weight_map to map names of tensors to names of files/],
    ['a file elsewhere', '{"weight_map": {"a": "../x.safetensors"}}', /weight_map to map/],
    ['a shard that is not there', '{"weight_map": {"a": "none.safetensors"}}', /none.safetensors: cannot be read: ENOENT/],
    ['a tensor that its shard lacks', '{"weight_map": {"a": "x.safetensors", "b": "x.safetensors", "c": "x.safetensors", "d": "x.safetensors"}}', /the index says that x.safetensors holds d, but it does not/],
    ['a tensor it does not place', '{"weight_map": {"a": "x.safetensors"}}', /x.safetensors holds b, which the index does not place there/],
  ])('refuses an index with %s', async (what, json, message) => {
    const place = await folderOf(`index ${what}`, ['x.safetensors']);
    await writeFile(join(place, 'model.safetensors.index.json'), json);
    expect(await refusal(join(place, 'model.safetensors.index.json'))).toMatch(message);
  });
});
