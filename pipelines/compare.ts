/**
 * Trains several methods, or variants of one, on the same batches of one paired folder, and reports from the same held-out pairs which is the better.
 * Run: node pipelines/compare.ts --methods turbo,flow,regression --data fixtures/splats --budget 120s
 *      node pipelines/compare.ts --methods ddpm --swap weighting=none,minSnr --steps 400
 */
import { join } from 'node:path';
import { mkdir } from 'node:fs/promises';
import { writeFileAtomic } from '../src/run/atomic.ts';
import { comparisonFolder, runComparison } from '../src/run/compare/comparison.ts';
import { compareOptions } from '../src/run/compare/options.ts';
import { comparisonJson, comparisonTable } from '../src/run/compare/table.ts';
import { reportPage } from '../src/run/compare/page.ts';
import { variantsOf } from '../src/run/compare/variants.ts';
import { takeOptions } from '../src/run/config.ts';
import { controlPanel, listenToSignals } from '../src/run/control.ts';
import { datasetsOnDisk } from '../src/run/datasets.ts';
import { helpText } from '../src/run/help.ts';
import { orThrow } from '../src/run/orThrow.ts';
import { errorText, shownPath } from '../src/run/outcome.ts';
import { type AnyMethod, methodOf } from '../src/run/pipelineFiles.ts';
import { terminal } from '../src/run/terminal.ts';

/**
 * Runs a comparison as a command line says. @param load finds a method by name; in the pipeline files beside this one unless told otherwise
 * @returns where `report.html` and `comparison.json` lie, and the exit code, 1 where a method failed; undefined after `--help`
 */
export const compare = async (argv: readonly string[], { report = terminal(), panel = controlPanel(), load = methodOf } = {}): Promise<Readonly<{ folder?: string; code: number }>> => {
  const { options, rest } = orThrow(takeOptions(compareOptions, argv));
  if (options.help) {
    report.line(helpText({ usage: 'node pipelines/compare.ts', summary: 'compare: trains methods on the same batches and compares them on the same held-out pairs; other flags and --set go to every method that has the key', schema: compareOptions }));
    return { code: 0 };
  }
  const methods: AnyMethod[] = [];
  for (const name of options.methods.split(',')) methods.push(await load(name.trim()));
  const variants = orThrow(variantsOf(methods, rest, options.swap));
  const comparison = await runComparison(variants, options, { datasets: datasetsOnDisk, report, panel, command: `node pipelines/compare.ts ${argv.join(' ')}` });
  report.end();
  const code = panel.stopCode ?? (comparison.failures.length > 0 ? 1 : 0);
  if (comparison.entries.length === 0) { report.line('nothing was trained: there is nothing to compare'); return { code }; }
  const folder = comparisonFolder(options.out, comparison.made);
  await mkdir(folder, { recursive: true });
  await writeFileAtomic(join(folder, 'comparison.json'), comparisonJson(comparison));
  await writeFileAtomic(join(folder, 'report.html'), await reportPage(comparison));
  for (const line of comparisonTable(comparison)) report.line(line);
  report.line(`report  ${shownPath(join(folder, 'report.html'))}`);
  return { folder, code };
};

if (import.meta.main) {
  const panel = controlPanel();
  const report = terminal();
  const release = listenToSignals(panel, report.line);
  // A paused run waits for nothing but signals, and those do not keep a process alive.
  const alive = setInterval(() => {}, 2 ** 30);
  process.exitCode = await compare(process.argv.slice(2), { report, panel }).then(({ code }) => code, (cause: unknown) => { report.end(); process.stderr.write(`${errorText(cause)}\n`); return 1; });
  clearInterval(alive);
  release();
  setTimeout(() => { process.exit(); }, 2000).unref();
}
