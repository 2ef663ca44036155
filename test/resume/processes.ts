/** Runs the training child, kills it, and looks at what it left. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { basename, join, relative } from 'node:path';
import { follow } from '../../src/run/atomic.ts';
import { sha256 } from '../../src/run/checkpoint.ts';

/** Steps of the whole training. */
export const steps = 30;

/** How a child ended, and every line it printed. */
export type Ended = Readonly<{ lines: readonly string[]; code: number | null; signal: NodeJS.Signals | null; errors: string }>;

/** A Node that runs TypeScript: this one, or that of the devDependency `node` where the tests were started with an older one. */
export const node = Number(process.versions.node.split('.')[0]) >= 24 ? process.execPath : join(import.meta.dirname, '..', '..', 'node_modules', '.bin', 'node');

/** Trains, or goes on training, in `root`. `watch` sees each line as it comes, and may kill. */
export const train = async (root: string, { slow = false, watch = () => {} }: { slow?: boolean; watch?: (line: string, child: ChildProcess) => void } = {}): Promise<Ended> => {
  const child = spawn(node, [join(import.meta.dirname, 'child.ts'), root, `${steps}`, ...(slow ? ['slow'] : [])], { stdio: ['ignore', 'pipe', 'pipe'] });
  const lines: string[] = [];
  let errors = '';
  child.stderr.on('data', (text: Buffer) => { errors += text.toString(); });
  createInterface({ input: child.stdout }).on('line', (line) => { lines.push(line); watch(line, child); });
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) => { child.on('close', (...end) => { resolve(end); }); });
  return { lines, code, signal, errors };
};

export const runIn = (root: string): Promise<string> => follow(join(root, 'tiny', 'latest'));

/** Measured, and different each time. */
const clocks = ['timing.jsonl', 'env.json', 'summary.json'];

/** SHA-256 of a file; of the validation without the time that an image takes. */
const hashOf = async (path: string): Promise<string> => (basename(path) === 'validation.json'
  ? createHash('sha256').update((await readFile(path, 'utf8')).replaceAll(/"msPerImage": .*/g, '')).digest('hex') : sha256(path));

/** SHA-256 of every file of the latest run in `home` that has to be the same however often it was broken off: all but clocks, and where it ran. */
export const remains = async (home: string): Promise<Record<string, string>> => {
  const run = await follow(join(home, 'latest'));
  const files = (await readdir(run, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const compared = files.filter((path) => !clocks.includes(relative(run, path)));
  const hashes = Object.fromEntries(await Promise.all(compared.sort().map(async (path) => [relative(run, path), await hashOf(path)] as const)));
  for (const link of ['latest', 'best']) hashes[link] = relative(run, await follow(join(run, 'checkpoints', link)));
  return hashes;
};
