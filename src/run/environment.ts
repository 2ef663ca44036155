import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { arch, availableParallelism, cpus, platform, release, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { EngineInfo } from '../tf.ts';
import { writeFileAtomic } from './atomic.ts';
import { type RunFolder, json, readJson } from './runFolder.ts';

/** What a run ran on: the contents of `env.json`. */
export type Environment = Readonly<{
  /** Start, ISO 8601, UTC. */
  time: string;
  argv: readonly string[];
  node: string;
  system: string;
  cpu: string;
  /** Threads this process may use. */
  threads: number;
  /** In bytes. */
  memory: number;
  engine: string;
  device: string;
  passedOver: EngineInfo['passedOver'];
  /** Versions of the packages used, by name. */
  packages: Readonly<Record<string, string>>;
  /** Revision of this code, `+` when files differ from it; absent outside a git checkout. */
  revision?: string;
  /** In watch mode: the run whose weights this one began from. */
  parent?: string;
}>;

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

type PackageFile = Readonly<{ version?: string; dependencies?: Readonly<Record<string, string>>; optionalDependencies?: Readonly<Record<string, string>> }>;
const packageAt = async (folder: string): Promise<PackageFile> => JSON.parse(await readFile(join(folder, 'package.json'), 'utf8').catch(() => '{}')) as PackageFile;

const packages = async (): Promise<Record<string, string>> => {
  const own = await packageAt(root);
  const names = Object.keys({ ...own.dependencies, ...own.optionalDependencies }).sort();
  const versions = await Promise.all(names.map(async (name) => [name, (await packageAt(join(root, 'node_modules', name))).version] as const));
  return Object.fromEntries([['millrace', own.version] as const, ...versions].flatMap(([name, version]) => (version === undefined ? [] : [[name, version]])));
};

const git = async (...args: string[]): Promise<string | undefined> =>
  promisify(execFile)('git', ['-C', root, ...args], { timeout: 5_000 }).then(({ stdout }) => stdout.trim(), () => undefined);

const revision = async (): Promise<string | undefined> => {
  // A checkout of something else around an installed copy is not ours.
  if (await git('rev-parse', '--show-prefix') !== '') return undefined;
  const head = await git('rev-parse', 'HEAD');
  return head && `${head}${await git('status', '--porcelain', '--untracked-files=no') === '' ? '' : '+'}`;
};

/** Describes this process and machine. @param parent the run whose weights this one begins from */
export const describeEnvironment = async (engine: EngineInfo, { argv = process.argv.slice(1), parent }: { argv?: readonly string[]; parent?: string } = {}): Promise<Environment> => {
  const head = await revision();
  return {
    time: new Date().toISOString(),
    argv,
    node: process.version,
    system: `${platform()} ${release()} ${arch()}`,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    threads: availableParallelism(),
    memory: totalmem(),
    engine: engine.name,
    device: engine.device,
    passedOver: engine.passedOver,
    packages: await packages(),
    ...(head && { revision: head }),
    ...(parent && { parent }),
  };
};

/** Adds to `env.json` that the run was resumed, from which step and where. */
export const noteResume = async (run: RunFolder, step: number, environment: Environment): Promise<void> => {
  const path = join(run.path, 'env.json');
  const before = await readJson(path).catch(() => ({})) as { resumed?: readonly unknown[] };
  await writeFileAtomic(path, json({ ...before, resumed: [...before.resumed ?? [], { step, ...environment }] }));
};
