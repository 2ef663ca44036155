/** Writing `.safetensors` that diffusers, transformers and PyTorch load, in one file or in shards with an index. */
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { WeightsError } from '../../errors.ts';
import type { StateDict } from '../net.ts';
import { sizeOf } from '../network.ts';
import { type FloatDtype, dtypeBytes, encode } from './dtypes.ts';

export type SaveOptions = Readonly<{
  /** Format of every tensor; `F32` by default. */
  dtype?: FloatDtype;
  /** Strings kept in the header; `{ format: 'pt' }`, which diffusers and transformers expect, is always there. */
  metadata?: Readonly<Record<string, string>>;
}>;

/** Writes a file under a temporary name, syncs it and moves it into place, so that a reader never sees half of it. */
export const writeAtomically = async (path: string, chunks: Iterable<Uint8Array>): Promise<void> => {
  await mkdir(dirname(path), { recursive: true });
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);
  try {
    const file = await open(temporary, 'w');
    try {
      for (const chunk of chunks) for (let at = 0; at < chunk.length;) at += (await file.write(chunk, at)).bytesWritten;
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true });
    throw cause;
  }
};

/** Header and data of one file, tensor by tensor: nothing is held beyond one tensor. */
function* chunksOf(state: StateDict, names: readonly string[], { dtype = 'F32', metadata = {} }: SaveOptions): Generator<Uint8Array> {
  if (names.includes('__metadata__')) throw new RangeError('a tensor cannot be called __metadata__');
  let at = 0;
  const entries = names.map((name) => {
    const { shape } = state[name] as StateDict[string];
    const begin = at;
    at += sizeOf(shape) * dtypeBytes[dtype];
    return [name, { dtype, shape, data_offsets: [begin, at] }] as const;
  });
  const json = JSON.stringify({ __metadata__: { format: 'pt', ...metadata }, ...Object.fromEntries(entries) });
  const bytes = Buffer.byteLength(json);
  // Spaces bring the data to a multiple of 8 bytes, so that readers can map it.
  const header = Buffer.from(json + ' '.repeat((8 - (bytes % 8)) % 8));
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(header.length), true);
  yield length;
  yield header;
  for (const name of names) {
    const { shape, data } = state[name] as StateDict[string];
    if (data.length !== sizeOf(shape)) throw new RangeError(`tensor ${name}: expected ${sizeOf(shape)} values for [${shape.join(', ')}] but received ${data.length}`);
    yield encode(dtype, data);
  }
}

const failed = (path: string) => (cause: unknown): WeightsError => new WeightsError(path, `${path}: cannot be written: ${(cause as Error).message}`, cause);

/** Saves a state dict as one file. Tensors are written in the order of their names. */
export const saveSafetensors = (path: string, state: StateDict, options: SaveOptions = {}): TE.TaskEither<WeightsError, void> =>
  TE.tryCatch(() => writeAtomically(path, chunksOf(state, Object.keys(state).sort(), options)), failed(path));

/**
 * Saves a state dict in files of at most `maxBytes` (a single tensor may exceed it) beside `<stem>.safetensors.index.json`; as one file when all fits.
 * The index is written last: a reader that finds it finds every shard.
 * @param folder where to
 * @param stem `diffusion_pytorch_model` for what diffusers loads
 * @returns the paths written
 */
export const saveSharded = (folder: string, stem: string, state: StateDict, { maxBytes = 10 * 2 ** 30, ...options }: SaveOptions & { maxBytes?: number } = {}): TE.TaskEither<WeightsError, string[]> =>
  TE.tryCatch(async () => {
    const width = dtypeBytes[options.dtype ?? 'F32'];
    const groups: string[][] = [];
    let total = 0;
    let room = 0;
    for (const name of Object.keys(state).sort()) {
      const bytes = sizeOf((state[name] as StateDict[string]).shape) * width;
      if (bytes > room) {
        groups.push([]);
        room = maxBytes;
      }
      (groups.at(-1) as string[]).push(name);
      room -= bytes;
      total += bytes;
    }
    const count = `${groups.length}`.padStart(5, '0');
    const fileOf = (i: number): string => (groups.length > 1 ? `${stem}-${`${i + 1}`.padStart(5, '0')}-of-${count}.safetensors` : `${stem}.safetensors`);
    const paths: string[] = [];
    for (const [i, names] of groups.entries()) {
      paths.push(join(folder, fileOf(i)));
      await writeAtomically(paths.at(-1) as string, chunksOf(state, names, options));
    }
    if (groups.length > 1) {
      const index = { metadata: { total_size: total }, weight_map: Object.fromEntries(groups.flatMap((names, i) => names.map((name) => [name, fileOf(i)]))) };
      paths.push(join(folder, `${stem}.safetensors.index.json`));
      await writeAtomically(paths.at(-1) as string, [Buffer.from(`${JSON.stringify(index, undefined, 2)}\n`)]);
    }
    return paths;
  }, failed(join(folder, stem)));
