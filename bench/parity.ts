/**
 * Holds this project's numbers against a reference implementation's.
 * Run: npm run parity -- <folder> [<folder> ...] [--verbose] [--only=<part of a name>]
 * Finds every golden (a folder with `manifest.json`) below the folders, runs the handler of its kind, prints the worst relative error of each, and
 * exits with 1 when one fails or is of a kind no handler knows.
 */
import { existsSync } from 'node:fs';
import { startEngine } from '../src/tf.ts';
import { type Comparison, type Handler, findGoldens, readGolden, readManifest } from './parity/golden.ts';

const suites = ['models', 'taesd', 'transformers', 'schedulers', 'training', 'losses', 'optim'] as const;

const loadHandlers = async (): Promise<{ handlers: Handler[]; absent: string[] }> => {
  const present = suites.filter((suite) => existsSync(new URL(`./parity/${suite}.ts`, import.meta.url)));
  const modules = await Promise.all(present.map((suite) => import(`./parity/${suite}.ts`) as Promise<{ handlers: readonly Handler[] }>));
  return { handlers: modules.flatMap(({ handlers }) => handlers), absent: suites.filter((suite) => !present.includes(suite)) };
};

type Outcome = Readonly<{ name: string; worst?: Comparison; failed: readonly Comparison[]; all: readonly Comparison[]; ms: number; fault?: string }>;

/** The comparison nearest to, or furthest over, its limit. */
const worstOf = (comparisons: readonly Comparison[]): Comparison | undefined =>
  comparisons.reduce<Comparison | undefined>((worst, next) => (worst === undefined || !(next.error / next.limit <= worst.error / worst.limit) ? next : worst), undefined);

const runOne = async (folder: string, handlers: readonly Handler[]): Promise<Outcome> => {
  const started = performance.now();
  let name = folder;
  try {
    const head = await readManifest(folder);
    name = head.manifest.name ?? folder;
    const handler = handlers.find(({ matches }) => matches(head));
    if (!handler) {
      const { config, source } = head.manifest;
      return { name, failed: [], all: [], ms: 0, fault: `no handler for this kind (group ${head.group}, ${String(config['class'] ?? source?.['class'] ?? source?.['function'] ?? 'no class named')})` };
    }
    const all = await handler.run(await readGolden(folder));
    const failed = all.filter(({ error, limit }) => !(error <= limit));
    const ms = performance.now() - started;
    return all.length === 0 ? { name, failed, all, ms, fault: 'nothing was compared' } : { name, worst: worstOf(all) as Comparison, failed, all, ms };
  } catch (cause) {
    return { name, failed: [], all: [], ms: performance.now() - started, fault: (cause as Error).message };
  }
};

const number = (x: number): string => (x === 0 ? '0' : x.toExponential(2));

const print = ({ name, worst, failed, all, ms, fault }: Outcome, verbose: boolean): void => {
  const verdict = fault !== undefined || failed.length > 0 ? 'FAIL' : 'pass';
  const detail = fault ?? `${all.length} tensors, ${worst?.name}`;
  console.log(`${verdict}  ${name.padEnd(38)} ${worst ? `${number(worst.error).padStart(9)} of ${number(worst.limit).padEnd(8)}` : ''.padEnd(21)} ${`${Math.round(ms)} ms`.padStart(9)}  ${detail}`);
  for (const { name: tensor, error, limit, note } of verbose ? all : failed) console.log(`        ${number(error).padStart(9)} of ${number(limit)}  ${tensor}${note ? ` (${note})` : ''}`);
};

const main = async (args: readonly string[]): Promise<number> => {
  const folders = args.filter((arg) => !arg.startsWith('--'));
  const verbose = args.includes('--verbose');
  const only = args.find((arg) => arg.startsWith('--only='))?.slice('--only='.length);
  const strange = args.find((arg) => arg.startsWith('--') && arg !== '--verbose' && !arg.startsWith('--only='));
  if (folders.length === 0 || strange !== undefined) {
    console.error(strange === undefined ? 'usage: npm run parity -- <folder> [...] [--verbose] [--only=<part of a name>]' : `parity: unknown option ${strange}`);
    return 2;
  }
  const { handlers, absent } = await loadHandlers();
  if (absent.length > 0) console.log(`absent handlers: ${absent.join(', ')}`);
  const engine = await startEngine();
  console.log(`engine: ${engine.name}, ${engine.device}\n`);
  console.log(`      ${'golden'.padEnd(38)} ${'worst relative error'.padEnd(21)} ${'time'.padStart(9)}  where`);
  const found: string[] = [];
  for (const folder of folders) {
    const goldens = await findGoldens(folder);
    if (goldens.length === 0) {
      console.error(`parity: no manifest.json below ${folder}`);
      return 1;
    }
    found.push(...goldens);
  }
  let passed = 0;
  const chosen = found.filter((folder) => only === undefined || folder.includes(only));
  for (const folder of chosen) {
    const outcome = await runOne(folder, handlers);
    print(outcome, verbose);
    if (outcome.fault === undefined && outcome.failed.length === 0) passed++;
  }
  console.log(`\n${passed} of ${chosen.length} goldens pass`);
  return passed === chosen.length && chosen.length > 0 ? 0 : 1;
};

process.exitCode = await main(process.argv.slice(2));
