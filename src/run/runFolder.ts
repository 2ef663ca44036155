/** Run folders: `runs/<method>/<time>-<id>/`, one a run, never written over; `runs/<method>/latest` leads to the newest. */
import { randomBytes } from 'node:crypto';
import { access, constants, mkdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { CheckpointError } from '../errors.ts';
import { follow, pointAt, sweepPartials, writeFileAtomic } from './atomic.ts';
import { type RunLog, openLog, rewindLog } from './runLog.ts';

/** Where a run keeps what it makes. Paths are absolute. */
export type RunFolder = Readonly<{
  path: string;
  /** `<time>-<id>`: the folder's own name. */
  id: string;
  method: string;
  samples: string;
  checkpoints: string;
  /** `metrics.jsonl`: losses and scores by step; a function of seed and data alone, so byte-equal however often the run was broken off. */
  metrics: RunLog;
  /** `timing.jsonl`: speed and engine use by step; differs from run to run. */
  timing: RunLog;
  /** `dropped.jsonl`: steps whose update was not finite. */
  dropped: RunLog;
}>;

/** What a run was started with: the contents of `config.resolved.json`. */
export type RunRecord = Readonly<{ method: string; config: unknown }>;

export const configFile = 'config.resolved.json';

const fail = (path: string, what: string) => (cause: unknown): CheckpointError =>
  cause instanceof CheckpointError ? cause : new CheckpointError(path, `${path}: ${what}: ${(cause as Error).message}`, cause);

const pad = (value: number, width = 2): string => `${value}`.padStart(width, '0');
const stamp = (now: Date): string =>
  `${pad(now.getFullYear(), 4)}${pad(now.getMonth() + 1)}${pad(now.getDate())}-${pad(now.getHours())}${pad(now.getMinutes())}${pad(now.getSeconds())}`;

const at = (path: string, method: string): RunFolder => ({
  path,
  id: basename(path),
  method,
  samples: join(path, 'samples'),
  checkpoints: join(path, 'checkpoints'),
  metrics: openLog(join(path, 'metrics.jsonl')),
  timing: openLog(join(path, 'timing.jsonl')),
  dropped: openLog(join(path, 'dropped.jsonl')),
});

/** As JSON that people read: indented, with a last newline; NaN and infinities, which JSON cannot say, as strings. */
export const json = (value: unknown): string =>
  `${JSON.stringify(value, (_key, item: unknown) => (typeof item === 'number' && !Number.isFinite(item) ? String(item) : item), 2)}\n`;

const obstacles: Readonly<Record<string, string>> = { EROFS: 'lies on a read-only file system', EACCES: 'may not be written to by this user', EPERM: 'may not be written to by this user' };

/** Why a folder cannot be made: the nearest thing above it that exists, and what is wrong with that. Node itself says ENOENT of read-only places. */
const obstacleTo = async (path: string): Promise<string | undefined> => {
  for (let place = path; ; place = dirname(place)) {
    const there = await stat(place).catch(() => undefined);
    if (!there) { if (place === dirname(place)) return undefined; continue; }
    if (!there.isDirectory()) return `${place} is a file`;
    const code = await access(place, constants.W_OK).then(() => '', (cause: NodeJS.ErrnoException) => cause.code ?? '');
    return obstacles[code] && `${place} ${obstacles[code]}`;
  }
};

const makeHome = async (home: string): Promise<void> => {
  try {
    await mkdir(home, { recursive: true });
  } catch (cause) {
    const obstacle = await obstacleTo(home);
    throw obstacle === undefined ? cause : new CheckpointError(home, `${home}: expected a folder that can be made and written to but ${obstacle} (--out names another)`, cause);
  }
};

/**
 * Makes a new run folder and points `latest` at it.
 * @param options.root folder of all runs
 * @param options.env see `describeEnvironment`
 * @param options.now start time, local
 */
export const createRunFolder = ({ root = 'runs', method, config, env, now = new Date() }: {
  root?: string; method: string; config: unknown; env: unknown; now?: Date;
}): TE.TaskEither<CheckpointError, RunFolder> => TE.tryCatch(async () => {
  const home = resolve(root, method);
  await makeHome(home);
  for (;;) {
    // The id only keeps runs of the same second apart; nothing is computed from it.
    const path = join(home, `${stamp(now)}-${randomBytes(2).toString('hex')}`);
    try {
      await mkdir(path);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'EEXIST') continue;
      throw cause;
    }
    const run = at(path, method);
    await mkdir(run.samples);
    await mkdir(run.checkpoints);
    await writeFileAtomic(join(path, configFile), json({ method, config } satisfies RunRecord));
    await writeFileAtomic(join(path, 'env.json'), json(env));
    await pointAt(join(home, 'latest'), path);
    return run;
  }
}, fail(resolve(root, method), 'cannot make a run folder'));

/** Reads a JSON file. @throws with the path in the message */
export const readJson = async (path: string): Promise<unknown> => {
  const text = await readFile(path, 'utf8');
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new CheckpointError(path, `${path}: expected JSON but received ${JSON.stringify(text.slice(0, 40))}${text.length > 40 ? '...' : ''}`, cause);
  }
};

/**
 * Opens a run folder that exists: a path to it, or to a link such as `latest`, also where links are text files.
 * @returns the folder, and what it was started with
 */
export const openRunFolder = (path: string): TE.TaskEither<CheckpointError, Readonly<{ run: RunFolder; record: RunRecord }>> => async () => {
  try {
    const there = await follow(path);
    const info = await stat(there).catch(() => undefined);
    if (!info?.isDirectory()) return E.left(new CheckpointError(path, `${path}: expected a run folder but ${info ? 'found a file' : 'found nothing'}`));
    const record = await readJson(join(there, configFile)).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code === 'ENOENT') throw new CheckpointError(path, `${path}: expected a run folder but it has no ${configFile}`, cause);
      throw cause;
    }) as Partial<RunRecord> | null;
    if (typeof record?.method !== 'string' || record.config === undefined) {
      return E.left(new CheckpointError(path, `${join(there, configFile)}: expected {method, config} but received ${JSON.stringify(record).slice(0, 80)}`));
    }
    return E.right({ run: at(there, record.method), record: { method: record.method, config: record.config } });
  } catch (cause) {
    return E.left(fail(path, 'cannot be opened')(cause));
  }
};

/** Makes an opened run folder ready to go on from `step`: removes what an interrupted write left, cuts the logs back, points `latest` at it. */
export const rewindRunFolder = (run: RunFolder, step: number): TE.TaskEither<CheckpointError, void> => TE.tryCatch(async () => {
  for (const folder of [run.path, run.samples, run.checkpoints]) {
    await mkdir(folder, { recursive: true });
    await sweepPartials(folder);
  }
  for (const { path } of [run.metrics, run.timing, run.dropped]) await rewindLog(path, step);
  await pointAt(join(dirname(run.path), 'latest'), run.path);
}, fail(run.path, 'cannot be resumed'));
