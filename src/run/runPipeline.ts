/** What a pipeline file runs: command line, engine, dataset, run folder, training, control, watch mode, and how it all ends. */
import { join, resolve } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import { type Observable, combineLatest, concatMap, defer, distinctUntilChanged, lastValueFrom, map, of } from 'rxjs';
import type { z } from 'zod';
import type { Dataset } from '../data/dataset.ts';
import { keptPools } from '../data/keptPools.ts';
import { ConfigError, DatasetError, DecodeError } from '../errors.ts';
import { fileEvents } from '../streams/fileEvents.ts';
import { fileStates } from '../streams/fileStates.ts';
import { fromTaskEither } from '../streams/fromTaskEither.ts';
import type { Resource } from '../streams/scoped.ts';
import { watchFolder } from '../streams/watchFolder.ts';
import { type EngineInfo, startEngine } from '../tf.ts';
import { follow } from './atomic.ts';
import { type Layer, parseConfig, readLayer, takeOptions } from './config.ts';
import { type ControlPanel, controlPanel, keysText, listenToKeys, listenToSignals } from './control.ts';
import { type Datasets, datasetsOnDisk } from './datasets.ts';
import { filledIn } from './fillIn.ts';
import { helpText } from './help.ts';
import type { BaseConfig, Method, ReportSink, SkippedFiles } from './method.ts';
import { orThrow, unwrap } from './orThrow.ts';
import { errorText, leftBehind, shownPath } from './outcome.ts';
import { runOf } from './restore.ts';
import { type RunOptions, optionsFor, runOptions } from './runOptions.ts';
import { findWeights } from './startingWeights.ts';
import { summaryTable, writeSummary } from './summary.ts';
import { terminal } from './terminal.ts';
import { type Beginning, type Resumption, RunError, type RunEnd, trainRun } from './training.ts';
import { type Turn, watchRuns } from './watch.ts';

type Nets = Readonly<Record<string, Resource>>;

const engineLine = ({ name, device, passedOver }: EngineInfo): string =>
  `engine ${name}, ${device}${passedOver.length > 0 ? ` (passed over: ${passedOver.map(({ name, why }) => `${name}: ${why}`).join('; ')})` : ''}`;

/** Counts files that were passed over, and tells each once. @param known files that were told of already */
export const skippedFiles = (report: Pick<ReportSink, 'line'>, known: readonly string[] = []): SkippedFiles => {
  const seen = new Set(known);
  return {
    get count() { return seen.size; },
    add: (path, why) => {
      if (seen.has(path)) return;
      seen.add(path);
      report.line(`skipped ${why.includes(path) ? why : `${path}: ${why}`}`);
    },
  };
};

const isDataFault = (cause: unknown): boolean => cause instanceof DatasetError || cause instanceof DecodeError || (cause instanceof Error && isDataFault(cause.cause));

/** The configuration and, where `--resume` asks for one, the run to go on with. */
const configure = async <C extends BaseConfig>(method: Readonly<{ name: string; schema: z.ZodType<C> }>, options: RunOptions, rest: readonly string[]): Promise<Readonly<{ config: C; resume?: Resumption }>> => {
  const layers: Layer[] = [];
  let resume: Resumption | undefined;
  if (options.resume !== undefined) {
    const path = options.resume === 'latest' ? join(options.out, method.name, 'latest') : options.resume;
    const { run, record } = await unwrap(runOf(path));
    if (record.method !== method.name) throw new ConfigError('resume', `--resume ${path}: expected a run of ${method.name} but it is one of ${record.method}`);
    if (options.init !== undefined) throw new ConfigError('init', '--init: expected --resume or --init but received both');
    layers.push({ name: join(run.path, 'config.resolved.json'), values: record.config });
    const named = await follow(path);
    resume = { resume: run, ...(named !== run.path && { checkpoint: named }) };
  }
  if (options.config !== undefined) layers.push(orThrow(readLayer(options.config)));
  const others = Object.keys(runOptions.shape);
  return { config: orThrow(parseConfig(method.schema, rest, { layers, others })), ...(resume && { resume }) };
};

/** What a pipeline's process is made of; tests replace parts. */
export type Surroundings = Readonly<{
  datasets: Datasets;
  report: ReportSink & Readonly<{ end: () => void }>;
  panel: ControlPanel;
  /** Path of the pipeline file. */
  script: string;
  /** Milliseconds without a file event, and between two looks, that end a storm of changes. */
  quiet?: number;
}>;

/**
 * Runs a method as its command line says.
 * @returns the exit code: 0, or what a stop asked for (130 after Ctrl-C)
 * @throws RunError and MillraceErrors
 */
export const runMethod = async <C extends BaseConfig, N extends Nets>(method: Method<C, N>, argv: readonly string[], { datasets, report, panel, script, quiet = 500 }: Surroundings): Promise<number> => {
  const flags = optionsFor(method.schema);
  const { options, rest } = orThrow(takeOptions(flags, argv));
  if (options.help) {
    report.line(helpText({ usage: `node ${shownPath(script)}`, summary: `${method.name}: ${method.summary}`, options: flags, schema: method.schema }));
    return 0;
  }
  const { config: asked, resume } = await configure(method, options, rest);
  const weights = options.init === undefined ? undefined : await unwrap(findWeights(options.init));
  const { model } = { ...weights } as { model?: Readonly<Record<string, unknown>> };
  const config = await filledIn(method.schema, model && method.adopt ? method.adopt(asked, model) : asked);
  const engine = await startEngine();
  report.line(engineLine(engine));
  const root = resolve(config.data.root);
  const first = await unwrap(datasets.open(root));
  for (const text of datasets.describe(first)) report.line(text);
  const [bad] = first.unused;
  if (options.strict && bad) throw new DatasetError(join(root, bad.path), `${join(root, bad.path)}: ${bad.why} (--strict)`);
  if (process.stdin.isTTY) report.line(keysText);

  const finish = async (end: RunEnd, skipped: SkippedFiles): Promise<void> => {
    report.end();
    if (end.step === 0) { report.line('stopped before the first step'); return; }
    const summary = await unwrap(writeSummary(end.folder, { engine: engine.name, seed: config.seed, skippedFiles: skipped.count }));
    if (end.step >= config.steps) { report.line(summaryTable(summary, end.folder)); return; }
    report.line(`stopped after ${end.step} of ${config.steps} steps`);
    for (const text of await leftBehind(script, end)) report.line(text);
  };
  // Of a retrain's images only those that changed are decoded anew.
  const decoders = keptPools();
  const train = (dataset: Dataset, begin: Beginning, { stop, gone }: Pick<Turn<RunEnd>, 'stop' | 'gone'>): Observable<RunEnd> => defer(() => {
    const unused = dataset.unused.map(({ path }) => join(dataset.root, path));
    const skipped = skippedFiles(report, unused);
    const paused = combineLatest([panel.paused, gone]).pipe(map(([held, isGone]) => held || isGone), distinctUntilChanged());
    const control = { paused, sample: panel.sample, save: panel.save, stop };
    return trainRun(method, { config, dataset, engine, out: options.out, begin, control, skippedFiles: skipped, decoders: decoders.open, strict: options.strict, report })
      .pipe(concatMap(async (end) => { await finish(end, skipped); return end; }));
  });
  const beginning: Beginning = resume ?? { ...(weights && { weights }) };
  if (options.watch === 'off') {
    await lastValueFrom(train(first, beginning, { stop: panel.stop, gone: of(false) })).finally(decoders.close);
    return panel.stopCode ?? 0;
  }

  /** A new run, from what the one before has reached. */
  const retrain = async (parent: RunEnd): Promise<Beginning> => {
    report.line(`${options.watch === 'cold' ? 'training from scratch' : 'training on'} after ${shownPath(parent.folder.path)}`);
    if (options.watch === 'cold') return { parent: parent.folder.path };
    const found = await findWeights(parent.folder.path, 'weights')();
    if (E.isLeft(found)) { report.line(`${found.left.message}; beginning from scratch`); return { parent: parent.folder.path }; }
    return { parent: parent.folder.path, weights: found.right };
  };
  const own = resolve(options.out);
  const ignored = (path: string): boolean => path === own || /(^|[\\/])\./.test(path.slice(root.length));
  const changes = watchFolder(fileEvents(root, { ignored, every: quiet / 2 }), { look: fileStates({ ignored }), quiet });
  await lastValueFrom(watchRuns({
    root: shownPath(root), dataset: first, changes, say: report.line, stop: panel.stop,
    rescan: (known) => fromTaskEither(datasets.rescan(known)),
    train: (dataset, turn: Turn<RunEnd>) => defer(async () => (turn.parent ? retrain(turn.parent) : beginning)).pipe(concatMap((begin) => train(dataset, begin, turn))),
    // A file that is taken away under a run is no reason to stop watching.
    forgive: (cause) => {
      if (!(cause instanceof RunError) || !isDataFault(cause)) return undefined;
      report.end();
      return { end: cause.end.step > 0 ? cause.end : undefined, why: errorText(cause) };
    },
  }), { defaultValue: undefined }).finally(decoders.close);
  return panel.stopCode ?? 0;
};

/**
 * Runs a method as a program: flags from the command line, signals, keys, exit code. Errors are told in a sentence (with their stack where `DEBUG` is set).
 * Exit codes: 0, 1 after an error, 130 after Ctrl-C (143 after TERM, 129 after HUP).
 * @param options.datasets where pairs come from, when not from folders of images
 */
export const runPipeline = async <C extends BaseConfig, N extends Nets>(
  method: Method<C, N>, argv: readonly string[] = process.argv.slice(2), { datasets = datasetsOnDisk }: Partial<Pick<Surroundings, 'datasets'>> = {},
): Promise<void> => {
  const report = terminal();
  const panel = controlPanel();
  const script = process.argv[1] ?? 'pipeline';
  const release = [listenToSignals(panel, report.line), listenToKeys(panel, report.line)];
  // A paused run waits for nothing but signals, and those do not keep a process alive.
  const alive = setInterval(() => {}, 2 ** 30);
  try {
    process.exitCode = await runMethod(method, argv, { datasets, report, panel, script });
  } catch (cause) {
    process.exitCode = 1;
    report.end();
    process.stderr.write(`${errorText(cause)}\n`);
    if (cause instanceof RunError) process.stderr.write(`${(await leftBehind(script, cause.end)).join('\n')}\n`);
  } finally {
    clearInterval(alive);
    for (const stop of release) stop();
    report.end();
  }
  // Whatever a device keeps open must not keep the process.
  setTimeout(() => { process.exit(); }, 2000).unref();
};
