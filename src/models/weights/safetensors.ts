/**
 * Reading `.safetensors`: 8 bytes of header length, a JSON header, raw little-endian data. Only the header is read when a file is opened; each tensor
 * is read when it is asked for, so that a network's flat vector is filled without a second copy of the file in memory.
 * @source huggingface/safetensors, "Format"
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import * as E from 'fp-ts/lib/Either.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { WeightsError } from '../../errors.ts';
import type { StateDict } from '../net.ts';
import { type Shape, sizeOf } from '../network.ts';
import { type Dtype, decodeInto, dtypeBytes, isDtype } from './dtypes.ts';

/** Where one tensor lies in a file. */
export type Entry = Readonly<{
  dtype: Dtype;
  shape: Shape;
  /** First byte in the file, and the byte after the last. */
  start: number;
  end: number;
}>;

/** What a file says it holds. */
export type Safetensors = Readonly<{ path: string; metadata: Readonly<Record<string, string>>; entries: ReadonlyMap<string, Entry> }>;

/** The reference implementation refuses longer headers. */
const maxHeader = 100_000_000;

const refuse = (path: string, message: string, cause?: unknown): E.Either<WeightsError, never> => E.left(new WeightsError(path, `${path}: ${message}`, cause));

const isRecord = (value: unknown): value is Record<string, unknown> => value !== null && typeof value === 'object' && !Array.isArray(value);
const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** What a file that cannot be parsed really is, by its first bytes, and the way out. */
const foreign = (head: Uint8Array): string | undefined => {
  const convert = 'such files can run code when read, so they are refused; convert it once in Python: '
    + 'safetensors.torch.save_file(torch.load(path, map_location="cpu", weights_only=True), "weights.safetensors")';
  const [a, b, c, d] = head as unknown as [number, number, number, number];
  if (a === 0x50 && b === 0x4b && c === 3 && d === 4) return `expected safetensors but found a zip archive, as torch.save writes (.pth, .pt, .ckpt, .bin): ${convert}`;
  // A pickle begins with its protocol, then a frame (from protocol 4 on) or an opcode of torch.save's older format.
  if (a === 0x80 && b <= 5 && [0x95, 0x8a, 0x7d, 0x5d, 0x28, 0x63].includes(c)) return `expected safetensors but found a Python pickle (.pth, .pt, .ckpt, .bin): ${convert}`;
  if (new TextDecoder().decode(head) === 'version ') return 'expected safetensors but found a Git LFS pointer: fetch the real file with `git lfs pull`';
  return undefined;
};

/** Length of the JSON header, from the first 8 bytes. */
const headerLength = (path: string, head: Uint8Array, fileSize: number): E.Either<WeightsError, number> => {
  if (fileSize < 8 || head.length < 8) return refuse(path, `expected at least the 8 bytes of a safetensors header length but the file has ${fileSize}`);
  const length = new DataView(head.buffer, head.byteOffset).getBigUint64(0, true);
  if (length > BigInt(maxHeader)) return refuse(path, `expected a header of at most ${maxHeader} bytes but its length field says ${length}: not a safetensors file, or a damaged one`);
  if (Number(length) > fileSize - 8) return refuse(path, `the header is ${length} bytes long but only ${fileSize - 8} follow its length field: the file is truncated`);
  return E.right(Number(length));
};

const parseEntry = (path: string, name: string, value: unknown, dataStart: number, fileSize: number): E.Either<WeightsError, Entry> => {
  if (!isRecord(value)) return refuse(path, `expected a record for tensor ${name} but received ${JSON.stringify(value)}`);
  const { dtype, shape, data_offsets: offsets } = value;
  if (!isDtype(dtype)) return refuse(path, `tensor ${name}: expected a dtype of ${Object.keys(dtypeBytes).join(', ')} but received ${JSON.stringify(dtype)}`);
  if (!Array.isArray(shape) || !shape.every(isSize)) return refuse(path, `tensor ${name}: expected a shape of non-negative integers but received ${JSON.stringify(shape)}`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize)) {
    return refuse(path, `tensor ${name}: expected data_offsets [begin, end] but received ${JSON.stringify(offsets)}`);
  }
  const [begin, end] = offsets as [number, number];
  const wanted = sizeOf(shape as number[]) * dtypeBytes[dtype];
  if (!Number.isSafeInteger(wanted) || end - begin !== wanted) {
    return refuse(path, `tensor ${name}: ${dtype} [${shape.join(', ')}] takes ${wanted} bytes but data_offsets [${begin}, ${end}] hold ${end - begin}`);
  }
  if (dataStart + end > fileSize) return refuse(path, `tensor ${name} ends at byte ${dataStart + end} but the file has ${fileSize}: it is truncated`);
  return E.right({ dtype, shape: shape as number[], start: dataStart + begin, end: dataStart + end });
};

/** Tensors must follow one another without gap or overlap, to the end of the file. */
const checkTiling = (path: string, entries: ReadonlyMap<string, Entry>, dataStart: number, fileSize: number): WeightsError | undefined => {
  let at = dataStart;
  let before = 'the header';
  for (const [name, { start, end }] of [...entries].sort(([, a], [, b]) => a.start - b.start || a.end - b.end)) {
    if (start < at) return new WeightsError(path, `${path}: tensors ${before} and ${name} overlap in ${at - start} bytes`);
    if (start > at) return new WeightsError(path, `${path}: ${start - at} bytes between ${before} and tensor ${name} belong to no tensor`);
    at = end;
    before = name;
  }
  if (at !== fileSize) return new WeightsError(path, `${path}: ${fileSize - at} bytes after ${before} belong to no tensor`);
  return undefined;
};

/**
 * Parses and checks a header.
 * @param path for messages
 * @param json the header's bytes, without the length field
 * @param fileSize size of the whole file in bytes
 */
export const parseHeader = (path: string, json: Uint8Array, fileSize: number): E.Either<WeightsError, Safetensors> => {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json));
  } catch (cause) {
    return refuse(path, `the header is not JSON: ${(cause as Error).message}`, cause);
  }
  if (!isRecord(header)) return refuse(path, 'expected the header to be a JSON record');
  const { __metadata__: metadata = {}, ...tensors } = header;
  if (!isRecord(metadata) || !Object.values(metadata).every((value) => typeof value === 'string')) return refuse(path, 'expected __metadata__ to map names to strings');
  const dataStart = 8 + json.length;
  const entries = new Map<string, Entry>();
  for (const [name, value] of Object.entries(tensors)) {
    const entry = parseEntry(path, name, value, dataStart, fileSize);
    if (E.isLeft(entry)) return entry;
    entries.set(name, entry.right);
  }
  const fault = checkTiling(path, entries, dataStart, fileSize);
  return fault ? E.left(fault) : E.right({ path, metadata: metadata as Record<string, string>, entries });
};

const readHeader = async (path: string, file: FileHandle, head: Uint8Array, size: number): Promise<E.Either<WeightsError, Safetensors>> => {
  const length = headerLength(path, head, size);
  if (E.isLeft(length)) return length;
  const json = new Uint8Array(length.right);
  const { bytesRead } = await file.read(json, 0, length.right, 8);
  return bytesRead === length.right ? parseHeader(path, json, size) : refuse(path, 'the file shrank while its header was read');
};

/** Opens a file: reads and checks its header, no data. */
export const openSafetensors = (path: string): TE.TaskEither<WeightsError, Safetensors> => async () => {
  try {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      const head = new Uint8Array(8);
      const { bytesRead } = await file.read(head, 0, 8, 0);
      const fault = foreign(head.subarray(0, bytesRead));
      const parsed = await readHeader(path, file, head.subarray(0, bytesRead), size);
      return E.isLeft(parsed) && fault !== undefined ? refuse(path, fault, parsed.left) : parsed;
    } finally {
      await file.close();
    }
  } catch (cause) {
    return refuse(path, `cannot be read: ${(cause as Error).message}`, cause);
  }
};

/** Bytes decoded at a time, a multiple of every element size: the only memory beyond the result. */
const chunkBytes = 1 << 24;

/**
 * Reads one tensor as float32, row-major, into `target`. Synchronous, since it feeds the filling of a network's flat vector.
 * @throws WeightsError when the file cannot be read or is shorter than when it was opened
 */
export const readEntryInto = (path: string, name: string, { dtype, start, end }: Entry, target: Float32Array): void => {
  const width = dtypeBytes[dtype];
  try {
    const file = openSync(path, 'r');
    try {
      const chunk = dtype === 'F32' ? new Uint8Array(target.buffer as ArrayBuffer, target.byteOffset, target.byteLength) : new Uint8Array(Math.min(chunkBytes, end - start));
      for (let at = start; at < end;) {
        const wanted = Math.min(chunk.length, end - at);
        let got = 0;
        while (got < wanted) {
          const n = readSync(file, chunk, got, wanted - got, at + got);
          if (n === 0) throw new Error(`the file ends ${end - at - got} bytes before tensor ${name} does`);
          got += n;
        }
        if (dtype !== 'F32') decodeInto(dtype, chunk.subarray(0, wanted), target.subarray((at - start) / width, (at - start + wanted) / width));
        at += wanted;
      }
    } finally {
      closeSync(file);
    }
  } catch (cause) {
    throw new WeightsError(path, `${path}: tensor ${name} cannot be read: ${(cause as Error).message}`, cause);
  }
};

/** The same, into a new array. */
export const readEntry = (path: string, name: string, entry: Entry): Float32Array => {
  const values = new Float32Array(sizeOf(entry.shape));
  readEntryInto(path, name, entry, values);
  return values;
};

/** The tensors of opened files as a state dict whose values are read each time they are asked for, and not kept. */
export const lazyStateDict = (...files: readonly Safetensors[]): StateDict => Object.fromEntries(files.flatMap(({ path, entries }) =>
  [...entries].map(([name, entry]) => [name, {
    shape: entry.shape,
    get data() { return readEntry(path, name, entry); },
    readInto: (target: Float32Array) => { readEntryInto(path, name, entry, target); },
  }])));

/** Reads a whole file as float32. For large networks prefer `openSafetensors` and `lazyStateDict`. */
export const readStateDict = (path: string): TE.TaskEither<WeightsError, StateDict> => async () => {
  const opened = await openSafetensors(path)();
  if (E.isLeft(opened)) return opened;
  try {
    return E.right(Object.fromEntries([...opened.right.entries].map(([name, entry]) => [name, { shape: entry.shape, data: readEntry(path, name, entry) }])));
  } catch (cause) {
    return E.left(cause as WeightsError);
  }
};
