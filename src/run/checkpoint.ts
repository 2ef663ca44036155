/**
 * Checkpoints: `checkpoints/checkpoint-<step>/`, where step is the number of completed steps. A checkpoint is written into a hidden folder beside its place,
 * every file synced, its manifest (sizes and SHA-256) last, and appears by one rename: a kill at any moment leaves it whole or absent.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { copyFile, open, readdir, rename, rm, stat, statfs } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { CheckpointError } from '../errors.ts';
import type { StateDict } from '../models/net.ts';
import { saveSafetensors } from '../models/weights/saveSafetensors.ts';
import type { Variable } from '../tf.ts';
import { pointAt, syncFolder, writeFolderAtomic, writeSynced } from './atomic.ts';
import { type PlannedFile, planFiles } from './checkpointPlan.ts';
import type { Resource } from '../streams/scoped.ts';
import type { Scores } from './observed.ts';
import { type RunFolder, configFile, json, readJson } from './runFolder.ts';

/** What a checkpoint knows beside its variables: the contents of `state.json`. */
export type CheckpointState = Readonly<{
  method: string;
  /** Completed steps: training goes on with this one. */
  step: number;
  epoch: number;
  seed: number;
  /** Scores of these weights, when they were validated. */
  val?: Scores;
  /** The best validated step so far, of those that were saved. */
  best?: Readonly<{ step: number; psnr: number }>;
}>;

export type Manifest = Readonly<{ format: 1; step: number; files: Readonly<Record<string, Readonly<{ bytes: number; sha256: string }>>> }>;

/** One checkpoint on disk, not yet believed. */
export type CheckpointPlace = Readonly<{ step: number; path: string }>;

export const checkpointName = (step: number): string => `checkpoint-${step}`;

/** The checkpoints in a folder by their names, newest first. */
export const listCheckpoints = async (folder: string): Promise<CheckpointPlace[]> =>
  (await readdir(folder).catch(() => [] as string[]))
    .flatMap((name) => {
      const step = /^checkpoint-(\d+)$/.exec(name)?.[1];
      return step === undefined ? [] : [{ step: Number(step), path: join(folder, name) }];
    })
    .sort((a, b) => b.step - a.step);

/** Hex SHA-256 of a file. */
export const sha256 = async (path: string): Promise<string> => {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  return hash.digest('hex');
};

/** The values of a variable as float32. @throws RangeError for an integer that float32 cannot hold */
const download = async (name: string, variable: Variable): Promise<Float32Array> => {
  const values = await variable.data();
  if (values instanceof Float32Array) return values;
  const beyond = values.find((value) => Math.abs(value) > 2 ** 24);
  if (beyond !== undefined) throw new RangeError(`variable ${name}: expected integers within 2^24 but received ${beyond}`);
  return Float32Array.from(values);
};

const stateOf = async ({ pieces }: PlannedFile): Promise<StateDict> => {
  const values = new Map<Variable, Float32Array>();
  for (const { name, variable } of pieces) if (!values.has(variable)) values.set(variable, await download(name, variable));
  return Object.fromEntries(pieces.map(({ name, shape, variable, offset, size }) => [name, { shape, data: (values.get(variable) as Float32Array).subarray(offset, offset + size) }]));
};

const syncFile = async (path: string): Promise<void> => {
  const file = await open(path, 'r+');
  try { await file.sync(); } finally { await file.close(); }
};

const serials = new WeakMap<object, number>();
let lastSerial = 0;
/** Says which values the variables hold, without reading them: equal as long as nothing was assigned. */
export const fingerprint = (resources: Readonly<Record<string, Resource>>): string => Object.values(resources)
  .flatMap(({ variables }) => Object.values(variables).map(({ dataId }) => {
    if (!serials.has(dataId)) serials.set(dataId, ++lastSerial);
    return serials.get(dataId);
  })).join();

const codeOf = (cause: unknown): string | undefined =>
  (cause instanceof Error ? (cause as NodeJS.ErrnoException).code ?? codeOf(cause.cause) : undefined);

/** Whether a write failed because there is no room for it. */
export const isDiskFull = (cause: unknown): boolean => ['ENOSPC', 'EDQUOT', 'EFBIG'].includes(codeOf(cause) ?? '');

const amount = (bytes: number): string => (bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

const explain = async (run: RunFolder, step: number, bytes: number, cause: unknown): Promise<CheckpointError> => {
  const path = join(run.checkpoints, checkpointName(step));
  const kept = (await listCheckpoints(run.checkpoints)).map((place) => basename(place.path));
  const intact = kept.length > 0 ? `intact: ${kept.join(', ')}` : 'there is no earlier one';
  if (!isDiskFull(cause)) return new CheckpointError(path, `${path}: cannot be written: ${(cause as Error).message} (${intact})`, cause);
  const room = await statfs(run.checkpoints).then(({ bavail, bsize }) => bavail * bsize, () => undefined);
  return new CheckpointError(path, `${path}: the disk is full: expected room for ${amount(bytes)} but found ${room === undefined ? 'less' : amount(room)} (${intact})`, cause);
};

/**
 * Saves every variable of the resources and the state. When a variable is assigned to meanwhile, nothing is saved. Where the checkpoint exists already (a resumed run), it is replaced.
 * @returns the checkpoint's folder; on failure what was there before is intact, and the message says so
 */
export const saveCheckpoint = (run: RunFolder, resources: Readonly<Record<string, Resource>>, state: CheckpointState): TE.TaskEither<CheckpointError, string> => async () => {
  const files = planFiles(resources);
  const wanted = files.reduce((sum, { pieces }) => sum + pieces.reduce((bytes, { size }) => bytes + 4 * size, 0), 0);
  const path = join(run.checkpoints, checkpointName(state.step));
  const before = fingerprint(resources);
  try {
    // A checkpoint vouches for the logs up to its step.
    for (const log of [run.metrics, run.timing, run.dropped]) await log.sync();
    const aside = join(run.checkpoints, `.${checkpointName(state.step)}.replaced.partial`);
    await writeFolderAtomic(path, async (folder) => {
      for (const planned of files) {
        const saved = await saveSafetensors(join(folder, planned.file), await stateOf(planned))();
        if (E.isLeft(saved)) throw saved.left;
      }
      await copyFile(join(run.path, configFile), join(folder, configFile));
      await syncFile(join(folder, configFile));
      await writeSynced(join(folder, 'state.json'), json(state));
      const names = [...files.map(({ file }) => file), configFile, 'state.json'];
      const entries = [];
      for (const name of names) entries.push([name, { bytes: (await stat(join(folder, name))).size, sha256: await sha256(join(folder, name)) }] as const);
      await syncFolder(folder);
      if (fingerprint(resources) !== before) throw new Error('its variables changed while they were saved');
      await writeSynced(join(folder, 'manifest.json'), json({ format: 1, step: state.step, files: Object.fromEntries(entries) } satisfies Manifest));
      if (await stat(path).catch(() => undefined)) await rename(path, aside);
    });
    await rm(aside, { recursive: true, force: true });
    return E.right(path);
  } catch (cause) {
    return E.left(await explain(run, state.step, wanted, cause));
  }
};

/** Checks a checkpoint against its manifest, file by file. @returns what it knows, or what is wrong with it */
export const verifyCheckpoint = (path: string): TE.TaskEither<CheckpointError, Readonly<{ state: CheckpointState; manifest: Manifest }>> => async () => {
  const broken = (what: string, cause?: unknown): E.Either<CheckpointError, never> => E.left(new CheckpointError(path, `${path}: ${what}`, cause));
  try {
    const manifest = await readJson(join(path, 'manifest.json')) as Partial<Manifest> | null;
    if (manifest?.format !== 1 || typeof manifest.files !== 'object' || typeof manifest.step !== 'number') return broken('expected a manifest of format 1 but received another');
    for (const [name, expected] of Object.entries(manifest.files)) {
      const size = await stat(join(path, name)).then((info) => info.size, () => undefined);
      if (size === undefined) return broken(`${name} is missing`);
      if (size !== expected.bytes) return broken(`${name}: expected ${expected.bytes} bytes but found ${size}`);
      const hash = await sha256(join(path, name));
      if (hash !== expected.sha256) return broken(`${name}: its bytes changed since it was written (expected SHA-256 ${expected.sha256.slice(0, 12)}... but found ${hash.slice(0, 12)}...)`);
    }
    const state = await readJson(join(path, 'state.json')) as CheckpointState;
    if (state.step !== manifest.step) return broken(`state.json speaks of step ${state.step} but the manifest of ${manifest.step}`);
    return E.right({ state, manifest: manifest as Manifest });
  } catch (cause) {
    if (cause instanceof CheckpointError) return E.left(cause);
    return broken((cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'manifest.json is missing: it was never finished' : (cause as Error).message, cause);
  }
};

/** Removes checkpoints beyond the newest `keep`, sparing those of the steps in `spare`. A kill midway leaves no half checkpoint under a real name. */
export const pruneCheckpoints = async (folder: string, keep: number, spare: readonly number[]): Promise<void> => {
  for (const { step, path } of (await listCheckpoints(folder)).slice(keep)) {
    if (spare.includes(step)) continue;
    const doomed = join(dirname(path), `.${basename(path)}.pruned.partial`);
    await rm(doomed, { recursive: true, force: true });
    await rename(path, doomed);
    await rm(doomed, { recursive: true, force: true });
  }
};

/**
 * Sets the checkpoints after a step aside, as `checkpoint-<step>.aside`, so that a run that goes on from an earlier one finds none of another course.
 * `latest` and `best` lead to what is left.
 * @param state of the checkpoint to go on from
 * @returns the new names, the newest first
 */
export const setAsideAfter = async (folder: string, { step, best }: Pick<CheckpointState, 'step' | 'best'>): Promise<string[]> => {
  const names: string[] = [];
  for (const later of (await listCheckpoints(folder)).filter((place) => place.step > step)) {
    let name = `${basename(later.path)}.aside`;
    for (let i = 2; await stat(join(folder, name)).catch(() => undefined); i++) name = `${basename(later.path)}.aside-${i}`;
    await rename(later.path, join(folder, name));
    names.push(name);
  }
  if (names.length === 0) return names;
  await pointAt(join(folder, 'latest'), join(folder, checkpointName(step)));
  const isThere = best !== undefined && await stat(join(folder, checkpointName(best.step))).then(() => true, () => false);
  if (best !== undefined && isThere) await pointAt(join(folder, 'best'), join(folder, checkpointName(best.step)));
  else await rm(join(folder, 'best'), { force: true });
  await syncFolder(folder);
  return names;
};
