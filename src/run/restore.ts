/** Restoring: everything is read and checked before the first variable is touched, so a net is either wholly restored or as it was. */
import { stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import * as tf from '../tf.ts';
import { CheckpointError } from '../errors.ts';
import type { StateDict } from '../models/net.ts';
import { readStateDict } from '../models/weights/safetensors.ts';
import { follow } from './atomic.ts';
import { type CheckpointState, listCheckpoints, verifyCheckpoint } from './checkpoint.ts';
import { type PlannedFile, planFiles, planForUse } from './checkpointPlan.ts';
import type { Resource } from '../streams/scoped.ts';
import { type RunFolder, openRunFolder } from './runFolder.ts';

/** A checkpoint whose every byte was verified, and the newer ones that had to be passed over. */
export type Verified = Readonly<{ path: string; state: CheckpointState; broken: readonly CheckpointError[] }>;

/**
 * The newest checkpoint that verifies.
 * @returns undefined when the run saved none; a Left that names every fault when all are broken
 */
export const newestCheckpoint = (run: RunFolder): TE.TaskEither<CheckpointError, Verified | undefined> => async () => {
  const broken: CheckpointError[] = [];
  for (const { path } of await listCheckpoints(run.checkpoints)) {
    const verified = await verifyCheckpoint(path)();
    if (E.isRight(verified)) return E.right({ path, state: verified.right.state, broken });
    broken.push(verified.left);
  }
  if (broken.length === 0) return E.right(undefined);
  const faults = broken.map(({ message }) => `  ${message}`).join('\n');
  return E.left(new CheckpointError(run.checkpoints, `${run.checkpoints}: expected a checkpoint that verifies but all are broken:\n${faults}`));
};

const mismatch = (path: string, { file, pieces }: PlannedFile, found: StateDict): string[] => {
  const wanted = new Map(pieces.map(({ name, shape }) => [name, shape]));
  const text = (shape: readonly number[]): string => `[${shape.join(', ')}]`;
  return [
    ...[...wanted].flatMap(([name, shape]) => {
      const there = found[name]?.shape;
      if (there === undefined) return [`${file}: ${name} ${text(shape)} is missing`];
      return text(there) === text(shape) ? [] : [`${file}: ${name}: expected shape ${text(shape)} but found ${text(there)}`];
    }),
    ...Object.keys(found).filter((name) => !wanted.has(name)).map((name) => `${file}: ${name} is not a parameter of this run`),
  ];
};

const read = async (path: string, files: readonly PlannedFile[]): Promise<StateDict[]> => {
  const dicts: StateDict[] = [];
  const faults: string[] = [];
  for (const planned of files) {
    const dict = await readStateDict(join(path, planned.file))();
    if (E.isLeft(dict)) throw dict.left;
    dicts.push(dict.right);
    faults.push(...mismatch(path, planned, dict.right));
  }
  if (faults.length === 0) return dicts;
  const more = faults.length > 5 ? `\n  and ${faults.length - 5} more` : '';
  const shown = faults.slice(0, 5).map((fault) => `  ${fault}`).join('\n');
  throw new CheckpointError(path, `${path}: expected the variables of this run but found others (was it made with another configuration?):\n${shown}${more}`);
};

const assign = (files: readonly PlannedFile[], dicts: readonly StateDict[]): void => {
  const values = new Map<tf.Variable, Float32Array>();
  files.forEach(({ pieces }, i) => {
    for (const { name, variable, offset, restored } of pieces) {
      if (!restored) continue;
      if (!values.has(variable)) values.set(variable, new Float32Array(variable.size));
      (values.get(variable) as Float32Array).set((dicts[i] as StateDict)[name]?.data as Float32Array, offset);
    }
  });
  tf.tidy(() => {
    for (const [variable, data] of values) variable.assign(tf.tensor(variable.dtype === 'float32' ? data : Int32Array.from(data), variable.shape, variable.dtype as 'float32' | 'int32'));
  });
};

/**
 * Puts a verified checkpoint's values into the variables of the resources.
 * @returns Left, and nothing changed, when names or shapes differ from what the run has
 */
export const restoreVariables = (path: string, resources: Readonly<Record<string, Resource>>): TE.TaskEither<CheckpointError, void> => async () => {
  try {
    const files = planFiles(resources);
    assign(files, await read(path, files));
    return E.right(undefined);
  } catch (cause) {
    return E.left(cause instanceof CheckpointError ? cause : new CheckpointError(path, `${path}: ${(cause as Error).message}`, cause));
  }
};

/** Restores a run from the newest checkpoint that verifies. @returns undefined when the run saved none; its variables are then as they were */
export const restoreRun = (run: RunFolder, resources: Readonly<Record<string, Resource>>): TE.TaskEither<CheckpointError, Verified | undefined> => async () => {
  const newest = await newestCheckpoint(run)();
  if (E.isLeft(newest) || newest.right === undefined) return newest;
  const restored = await restoreVariables(newest.right.path, resources)();
  return E.isLeft(restored) ? restored : newest;
};

/**
 * Finds one checkpoint of a run and verifies it.
 * @param which `latest` (the newest that verifies), `best`, or the path of a checkpoint folder
 */
export const findCheckpoint = (run: RunFolder, which: string): TE.TaskEither<CheckpointError, Verified> => async () => {
  if (which === 'latest') {
    const newest = await newestCheckpoint(run)();
    if (E.isLeft(newest)) return newest;
    return newest.right ? E.right(newest.right) : E.left(new CheckpointError(run.checkpoints, `${run.checkpoints}: expected a checkpoint but the run saved none`));
  }
  const path = await follow(which === 'best' ? join(run.checkpoints, 'best') : which);
  if (which === 'best' && !(await stat(path).catch(() => undefined))) {
    return E.left(new CheckpointError(path, `${run.checkpoints}: expected a best checkpoint but the run has none: it was never validated`));
  }
  const verified = await verifyCheckpoint(path)();
  return E.isLeft(verified) ? verified : E.right({ path, state: verified.right.state, broken: [] });
};

/**
 * The weights in a checkpoint, by net: what `Method.nets` takes to begin from.
 * @param from `ema` reads the EMA where a net has one
 */
export const readWeights = (path: string, from: 'ema' | 'weights' = 'ema'): TE.TaskEither<CheckpointError, Readonly<Record<string, StateDict>>> => async () => {
  const verified = await verifyCheckpoint(path)();
  if (E.isLeft(verified)) return verified;
  const names = Object.keys(verified.right.manifest.files);
  const nets = names.flatMap((name) => /^(.*)\.optimizer\.safetensors$/.exec(name)?.[1] ?? []);
  const dicts: [string, StateDict][] = [];
  for (const net of nets) {
    const ema = `${net}.ema.safetensors`;
    const dict = await readStateDict(join(path, from === 'ema' && names.includes(ema) ? ema : `${net}.safetensors`))();
    if (E.isLeft(dict)) return E.left(new CheckpointError(path, dict.left.message, dict.left));
    dicts.push([net, dict.right]);
  }
  return E.right(Object.fromEntries(dicts));
};

/**
 * Puts the weights of a checkpoint into nets that are to be used, not trained: a net's EMA where it has one, both as weights and as EMA.
 * @returns the names of the nets that were in the checkpoint; Left, and nothing changed, when names or shapes differ or none is there
 */
export const restoreForUse = (path: string, resources: Readonly<Record<string, Resource>>): TE.TaskEither<CheckpointError, readonly string[]> => async () => {
  const verified = await verifyCheckpoint(path)();
  if (E.isLeft(verified)) return verified;
  const files = planForUse(resources, Object.keys(verified.right.manifest.files));
  if (files.length === 0) return E.left(new CheckpointError(path, `${path}: expected weights of ${Object.keys(resources).join(', ')} but found none`));
  try {
    assign(files, await read(path, files));
    return E.right(files.map(({ file }) => file.replace(/(\.ema)?\.safetensors$/, '')));
  } catch (cause) {
    return E.left(cause instanceof CheckpointError ? cause : new CheckpointError(path, `${path}: ${(cause as Error).message}`, cause));
  }
};

/** The run that a path names: a run folder, a link to one, or a checkpoint inside one. */
export const runOf = (path: string): ReturnType<typeof openRunFolder> => async () => {
  const there = await follow(path);
  return openRunFolder(/^checkpoint-\d+$/.test(basename(there)) ? resolve(dirname(dirname(there))) : there)();
};
