/**
 * Uses a trained model on photographs of any size. The result has the size of the photograph.
 * Run: node pipelines/infer.ts --run runs/turbo/latest --in photos/ --out out/ [--steps 4] [--batch 2] [--tile 512] [--checkpoint latest]
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import type { TaskEither } from 'fp-ts/lib/TaskEither.js';
import { ConfigError } from '../src/errors.ts';
import { follow } from '../src/run/atomic.ts';
import { parseConfig } from '../src/run/config.ts';
import { readGiven } from '../src/run/given.ts';
import { helpText } from '../src/run/help.ts';
import { inferOptions } from '../src/run/inferOptions.ts';
import { findImages, translateFiles } from '../src/run/inference.ts';
import type { BaseConfig, Method } from '../src/run/method.ts';
import { errorText, shownPath } from '../src/run/outcome.ts';
import { duration } from '../src/run/progress.ts';
import { findCheckpoint, restoreForUse, runOf } from '../src/run/restore.ts';
import { configFile } from '../src/run/runFolder.ts';
import { terminal } from '../src/run/terminal.ts';
import { type Resource, free } from '../src/streams/scoped.ts';
import { startEngine } from '../src/tf.ts';

const unwrap = async <L, A>(task: TaskEither<L, A>): Promise<A> => {
  const result = await task();
  if (E.isLeft(result)) throw result.left;
  return result.right;
};

type AnyMethod = Method<BaseConfig, Readonly<Record<string, Resource>>>;

/** The method that a pipeline file beside this one exports. */
export const methodOf = async (name: string): Promise<AnyMethod> => {
  const module = await import(`./${name}.ts`).catch((cause: unknown) => {
    throw new ConfigError('method', `the run is one of ${name}, but pipelines/${name}.ts cannot be loaded: ${(cause as Error).message}`, cause);
  }) as Record<string, Partial<AnyMethod> | undefined>;
  const method = Object.values(module).find((value) => value?.name === name && typeof value.translate === 'function');
  if (!method) throw new ConfigError('method', `pipelines/${name}.ts: expected it to export the method ${name} but it does not`);
  return method as AnyMethod;
};

const infer = async (argv: readonly string[], { line, bar, end } = terminal()): Promise<number> => {
  const parsed = parseConfig(inferOptions, argv);
  if (E.isLeft(parsed)) throw parsed.left;
  const options = parsed.right;
  if (options.help) { line(helpText({ usage: 'node pipelines/infer.ts', summary: 'infer: uses a trained model on images of any size', schema: inferOptions })); return 0; }
  const { run, record } = await unwrap(runOf(options.run));
  const method = await methodOf(record.method);
  const config = parseConfig(method.schema, [], { layers: [{ name: join(run.path, configFile), values: record.config }] });
  if (E.isLeft(config)) throw config.left;
  const jobs = await unwrap(findImages(options.in, options.out, options.keep));
  const named = await follow(options.run);
  const hasBest = options.checkpoint !== 'best' || await stat(join(run.checkpoints, 'best')).then(() => true, () => false);
  const checkpoint = await unwrap(findCheckpoint(run, named !== run.path ? named : hasBest ? options.checkpoint : 'latest'));
  for (const { message } of checkpoint.broken) line(`passed over: ${message}`);
  const engine = await startEngine();
  const nets = method.nets(config.right, await readGiven(method.files?.(config.right) ?? {}));
  try {
    await unwrap(restoreForUse(checkpoint.path, nets));
    line(`${method.name} at step ${checkpoint.state.step} (${shownPath(checkpoint.path)}), engine ${engine.name}, ${jobs.length} images`);
    const begun = performance.now();
    let done = 0;
    const failed = await translateFiles(method.translate(nets, config.right), jobs, { ...options, multiple: method.multipleOf(config.right), seed: config.right.seed }, ({ from, to }, result) => {
      const seconds = (performance.now() - begun) / 1000;
      if (E.isLeft(result)) line(`failed: ${result.left.message.includes(from) ? '' : `${from}: `}${result.left.message}`);
      bar(`${++done}/${jobs.length} images  ETA ${duration(seconds / done * (jobs.length - done))}  ${shownPath(to)}`);
    });
    end();
    line(`${jobs.length - failed} images written to ${shownPath(options.out)} in ${duration((performance.now() - begun) / 1000)}${failed > 0 ? `, ${failed} failed` : ''}`);
    return failed > 0 ? 1 : 0;
  } finally {
    free(nets);
  }
};

if (import.meta.main) {
  process.exitCode = await infer(process.argv.slice(2)).catch((cause: unknown) => { process.stderr.write(`${errorText(cause)}\n`); return 1; });
  setTimeout(() => { process.exit(); }, 2000).unref();
}
