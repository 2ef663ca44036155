import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import * as E from 'fp-ts/lib/Either.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WeightsError } from '../../../src/errors.ts';
import { zeros } from '../../../src/models/init.ts';
import { makeNet } from '../../../src/models/net.ts';
import { buildNetwork } from '../../../src/models/network.ts';
import { lazyStateDict, openSafetensors, parseHeader, readStateDict } from '../../../src/models/weights/safetensors.ts';
import { saveSafetensors } from '../../../src/models/weights/saveSafetensors.ts';
import { seeded } from '../../../src/random.ts';
import * as tf from '../../../src/tf.ts';

let folder: string;
beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), 'safetensors-')); });
afterAll(async () => { await rm(folder, { recursive: true, force: true }); });

/** A file of a header, given as JSON or bytes, and data; `length` overrides what the length field says. */
const fileOf = (header: unknown, data: Uint8Array = new Uint8Array(0), length?: bigint): Buffer => {
  const json = header instanceof Uint8Array ? header : Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const field = Buffer.alloc(8);
  field.writeBigUInt64LE(length ?? BigInt(json.length));
  return Buffer.concat([field, json, data]);
};

let serial = 0;
const written = async (bytes: Uint8Array): Promise<string> => {
  const path = join(folder, `${serial++}.safetensors`);
  await writeFile(path, bytes);
  return path;
};

/** The message that a file is refused with. */
const refusal = async (bytes: Uint8Array): Promise<string> => {
  const path = await written(bytes);
  const result = await readStateDict(path)();
  if (E.isRight(result)) throw new Error('it was read');
  expect(result.left).toBeInstanceOf(WeightsError);
  expect(result.left.subject).toBe(path);
  expect(result.left.message.startsWith(`${path}: `)).toBe(true);
  return result.left.message.slice(path.length + 2);
};

const two = { a: { dtype: 'F32', shape: [2], data_offsets: [0, 8] }, b: { dtype: 'F16', shape: [1, 2], data_offsets: [8, 12] } };
const twoData = new Uint8Array([...new Uint8Array(Float32Array.of(1, -2).buffer), ...new Uint8Array(Uint16Array.of(0x3c00, 0x4000).buffer)]);

describe('readStateDict', () => {
  it('reads what the reference writes', async () => {
    const state = await readStateDict(new URL('../../goldens/models/autoencodertiny-gelu/io.safetensors', import.meta.url).pathname)();
    expect(E.isRight(state) && state.right['input.sample']?.shape).toEqual([1, 3, 8, 8]);
    expect(E.isRight(state) && state.right['loss']?.shape).toEqual([]);
  });

  it('reads tensors of several types, in any order, with metadata', async () => {
    const state = await readStateDict(await written(fileOf({ __metadata__: { format: 'pt' }, b: two.b, a: two.a }, twoData)))();
    expect(state).toEqual(E.right({ a: { shape: [2], data: Float32Array.of(1, -2) }, b: { shape: [1, 2], data: Float32Array.of(1, 2) } }));
  });

  it('reads tensors whose data is not aligned', async () => {
    const header = { a: { dtype: 'U8', shape: [1], data_offsets: [0, 1] }, b: { dtype: 'F32', shape: [1], data_offsets: [1, 5] } };
    const state = await readStateDict(await written(fileOf(header, new Uint8Array([7, ...new Uint8Array(Float32Array.of(0.5).buffer)]))))();
    expect(E.isRight(state) && state.right['b']?.data).toEqual(Float32Array.of(0.5));
  });

  it('reads an empty file of no tensors, and tensors of no elements', async () => {
    expect(await readStateDict(await written(fileOf({})))()).toEqual(E.right({}));
    expect(await readStateDict(await written(fileOf({ a: { dtype: 'F32', shape: [0, 3], data_offsets: [0, 0] } })))()).toEqual(E.right({ a: { shape: [0, 3], data: new Float32Array(0) } }));
  });

  it('refuses a file that is not there', async () => {
    const result = await readStateDict(join(folder, 'none.safetensors'))();
    expect(E.isLeft(result) && result.left.message).toMatch(/cannot be read: ENOENT/);
  });

  it.each([
    ['an empty file', Buffer.alloc(0), /at least the 8 bytes .* has 0/],
    ['a header longer than the file', fileOf('{}', undefined, 500n), /header is 500 bytes long but only 2 follow/],
    ['a header longer than any', fileOf('{}', undefined, 2n ** 60n), /header of at most 100000000 bytes .* 1152921504606846976/],
    ['a header that is not JSON', fileOf('{"a":'), /header is not JSON/],
    ['a header that is not UTF-8', fileOf(Uint8Array.of(0x7b, 0xff, 0x7d)), /header is not JSON/],
    ['a header that is a list', fileOf('[]'), /header to be a JSON record/],
    ['metadata of numbers', fileOf({ __metadata__: { a: 1 } }), /__metadata__ to map names to strings/],
    ['a tensor that is no record', fileOf({ a: 5 }), /a record for tensor a but received 5/],
    ['an unknown dtype', fileOf({ a: { dtype: 'F4', shape: [1], data_offsets: [0, 4] } }, new Uint8Array(4)), /tensor a: expected a dtype of .* but received "F4"/],
    ['a negative size', fileOf({ a: { dtype: 'F32', shape: [-1], data_offsets: [0, 4] } }, new Uint8Array(4)), /tensor a: expected a shape of non-negative integers but received \[-1\]/],
    ['a shape too large to count', fileOf({ a: { dtype: 'F32', shape: [2 ** 40, 2 ** 40], data_offsets: [0, 4] } }, new Uint8Array(4)), /tensor a: F32 .* takes .* bytes/],
    ['offsets that are not numbers', fileOf({ a: { dtype: 'F32', shape: [1], data_offsets: ['0', 4] } }, new Uint8Array(4)), /tensor a: expected data_offsets/],
    ['offsets in reverse', fileOf({ a: { dtype: 'F32', shape: [1], data_offsets: [4, 0] } }, new Uint8Array(4)), /takes 4 bytes but data_offsets \[4, 0\] hold -4/],
    ['offsets that do not fit the shape', fileOf({ a: { dtype: 'F32', shape: [3], data_offsets: [0, 8] } }, new Uint8Array(8)), /F32 \[3\] takes 12 bytes but data_offsets \[0, 8\] hold 8/],
    ['a truncated file', fileOf(two, twoData.subarray(0, 10)), /tensor b ends at byte .* it is truncated/],
    ['overlapping tensors', fileOf({ a: two.a, b: { ...two.b, data_offsets: [6, 10] } }, twoData.subarray(0, 10)), /tensors a and b overlap in 2 bytes/],
    ['tensors in the same place', fileOf({ a: two.a, b: { ...two.a } }, twoData.subarray(0, 8)), /tensors a and b overlap in 8 bytes/],
    ['a gap between tensors', fileOf({ a: two.a, b: { ...two.b, data_offsets: [10, 14] } }, new Uint8Array(14)), /2 bytes between a and tensor b belong to no tensor/],
    ['a gap before the first', fileOf({ a: { ...two.a, data_offsets: [4, 12] } }, new Uint8Array(12)), /4 bytes between the header and tensor a/],
    ['bytes at the end', fileOf({ a: two.a }, new Uint8Array(11)), /3 bytes after a belong to no tensor/],
    ['a checkpoint of torch.save', Buffer.concat([Buffer.from([0x50, 0x4b, 3, 4]), Buffer.alloc(100, 8)]), /zip archive, as torch.save writes .* safetensors.torch.save_file/],
    ['an old checkpoint', Buffer.concat([Buffer.from([0x80, 2, 0x8a, 10]), Buffer.alloc(100, 0x6c)]), /Python pickle .* can run code .* safetensors.torch.save_file/],
    ['a pointer of Git LFS', Buffer.from('version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 5\n'), /Git LFS pointer: .*git lfs pull/],
  ])('refuses %s', async (_what, bytes, message) => {
    expect(await refusal(bytes)).toMatch(message);
  });

  it('takes a header whose length looks like a pickle', async () => {
    const padded = JSON.stringify(two);
    const header = padded + ' '.repeat(0x0580 - padded.length);
    const bytes = fileOf(header, twoData);
    expect([...bytes.subarray(0, 2)]).toEqual([0x80, 0x05]);
    expect(E.isRight(await readStateDict(await written(bytes))())).toBe(true);
  });
});

describe('lazyStateDict', () => {
  it('reads each time it is asked, and fails when the file has gone', async () => {
    const path = await written(fileOf(two, twoData));
    const opened = await openSafetensors(path)();
    if (E.isLeft(opened)) throw opened.left;
    const state = lazyStateDict(opened.right);
    expect(state['a']?.data).toEqual(Float32Array.of(1, -2));
    expect(state['a']?.data).not.toBe(state['a']?.data);
    await writeFile(path, Buffer.alloc(20));
    expect(() => state['b']?.data).toThrow(/tensor b cannot be read: the file ends/);
    await rm(path);
    expect(() => state['a']?.data).toThrow(WeightsError);
  });
});

describe('weights of a large network', () => {
  it('are read into its flat vector, without a copy of the file beside it', async () => {
    const count = 6;
    const size = 1 << 20;
    const state = Object.fromEntries(Array.from({ length: count }, (_, i) => [`w${i}`, { shape: [size], data: new Float32Array(size).fill(i) }]));
    const path = join(folder, 'large.safetensors');
    await saveSafetensors(path, state, { dtype: 'F16' })();
    const opened = await openSafetensors(path)();
    if (E.isLeft(opened)) throw opened.left;
    const network = buildNetwork('wide', {}, (root) => { for (let i = 0; i < count; i++) root.param(`w${i}`, [size], zeros); return () => 0; });
    const before = process.memoryUsage().arrayBuffers;
    const net = makeNet(network, { key: seeded(0), given: lazyStateDict(opened.right) });
    const grown = (process.memoryUsage().arrayBuffers - before) / (4 * size);
    // Six tensors of float32, and the chunks of bytes they were decoded from; a second copy would be twelve.
    expect(grown).toBeLessThan(count + 0.5 * count + 1);
    const { frozen } = net;
    const values = await frozen?.data() as Float32Array;
    expect([0, size, 5 * size, 6 * size - 1].map((at) => values[at])).toEqual([0, 1, 5, 5]);
    tf.dispose(Object.values(net.variables));
  });

  it('must have the shapes the network wants', () => {
    const network = buildNetwork('narrow', {}, (root) => { root.param('w', [2], zeros); return () => 0; });
    expect(() => makeNet(network, { key: seeded(0), given: { w: { shape: [3], data: new Float32Array(3) } } })).toThrow(/expected w \[2\] but received \[3\]/);
  });
});

describe('fuzz', () => {
  const dtypes = { F32: 4, I64: 8, F16: 2, BF16: 2, U8: 1, BOOL: 1 } as const;
  const tensors = fc.dictionary(fc.string({ minLength: 1 }).filter((name) => name !== '__metadata__'), fc.record({ dtype: fc.constantFrom(...Object.keys(dtypes) as (keyof typeof dtypes)[]), shape: fc.array(fc.nat(4), { maxLength: 4 }) }), { maxKeys: 6 });

  /** A sound file of the tensors. */
  const sound = (specs: Readonly<Record<string, Readonly<{ dtype: keyof typeof dtypes; shape: number[] }>>>): Buffer => {
    let at = 0;
    const header = Object.fromEntries(Object.entries(specs).map(([name, { dtype, shape }]) => {
      const begin = at;
      at += shape.reduce((product, n) => product * n, dtypes[dtype]);
      return [name, { dtype, shape, data_offsets: [begin, at] }];
    }));
    return fileOf(header, new Uint8Array(at));
  };

  it('reads every sound header', () => {
    fc.assert(fc.property(tensors, (specs) => {
      const file = sound(specs);
      const length = Number(file.readBigUInt64LE());
      const result = parseHeader('f', file.subarray(8, 8 + length), file.length);
      expect(E.isRight(result) && [...result.right.entries.keys()].sort()).toEqual(Object.keys(specs).sort());
    }));
  });

  it('answers any damage with an error or with tensors within the file, and never throws', async () => {
    await fc.assert(fc.asyncProperty(tensors, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }), fc.nat(), async (specs, flips, cut) => {
      const bytes = Uint8Array.from(sound(specs));
      for (const [at, value] of flips) bytes[at % bytes.length] = value;
      const short = bytes.subarray(0, bytes.length - (cut % 3 === 0 ? cut % bytes.length : 0));
      const result = await readStateDict(await written(short))();
      if (E.isLeft(result)) expect(result.left).toBeInstanceOf(WeightsError);
      else for (const { shape, data } of Object.values(result.right)) expect(data.length).toBe(shape.reduce((product, n) => product * n, 1));
    }), { numRuns: 300 });
  });

  it('takes any bytes at all', async () => {
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
      const result = await readStateDict(await written(bytes))();
      if (E.isRight(result)) expect(bytes.length).toBeGreaterThanOrEqual(10);
    }), { numRuns: 200 });
  });

  it('gives back what was saved', async () => {
    const shapes = fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 3 });
    await fc.assert(fc.asyncProperty(fc.dictionary(fc.string({ minLength: 1 }).filter((name) => name !== '__metadata__'), shapes, { maxKeys: 5 }), fc.nat(), async (specs, seed) => {
      const state = Object.fromEntries(Object.entries(specs).map(([name, shape]) => [name, { shape, data: Float32Array.from({ length: shape.reduce((product, n) => product * n, 1) }, (_, i) => Math.sin(seed + i)) }]));
      const path = join(folder, `saved${serial++}.safetensors`);
      expect(E.isRight(await saveSafetensors(path, state)())).toBe(true);
      expect(await readStateDict(path)()).toEqual(E.right(state));
      const file = await readFile(path);
      expect((8 + Number(file.readBigUInt64LE())) % 8).toBe(0);
    }), { numRuns: 50 });
  });
});
