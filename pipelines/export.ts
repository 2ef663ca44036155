/**
 * Writes a trained model as an ONNX file, and checks the file against the model.
 * Run: node pipelines/export.ts --run runs/turbo/latest --out turbo.onnx [--size 256 | --dynamic] [--half] [--steps 4] [--checkpoint best]
 * The file takes `source` and answers `image`, both float32 [1, H, W, 3] in [-1, 1]; samplers take unit-normal values as `noise0`, `noise1`, ... besides.
 */
import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import type { TaskEither } from 'fp-ts/lib/TaskEither.js';
import { z } from 'zod';
import { type Exported, exportError, exportNetwork } from '../src/engine/export.ts';
import { ConfigError } from '../src/errors.ts';
import { writeFileAtomic } from '../src/run/atomic.ts';
import { parseConfig } from '../src/run/config.ts';
import { helpText } from '../src/run/help.ts';
import { errorText, shownPath } from '../src/run/outcome.ts';
import { findCheckpoint, restoreForUse, runOf } from '../src/run/restore.ts';
import { configFile } from '../src/run/runFolder.ts';
import { terminal } from '../src/run/terminal.ts';
import { free } from '../src/streams/scoped.ts';
import * as tf from '../src/tf.ts';
import { methodOf } from './infer.ts';

const schema = z.object({
  help: z.boolean().default(false).describe('print this and end').meta({ flag: 'help' }),
  run: z.string().default('runs/turbo/latest').describe('run folder, or a checkpoint in one').meta({ flag: 'run' }),
  out: z.string().default('model.onnx').describe('the file to write').meta({ flag: 'out' }),
  checkpoint: z.string().default('best').describe('best, latest, or the path of one; where there is no best, the latest').meta({ flag: 'checkpoint' }),
  size: z.int().min(1).optional().describe('height and width of the images, in pixels; the training size by default').meta({ flag: 'size' }),
  dynamic: z.boolean().default(false).describe('leave height and width free').meta({ flag: 'dynamic' }),
  half: z.boolean().default(false).describe('weights and most arithmetic in half precision').meta({ flag: 'half' }),
  steps: z.int().min(1).optional().describe('sampler steps, for models that take several').meta({ flag: 'steps' }),
});

const unwrap = async <L, A>(task: TaskEither<L, A>): Promise<A> => {
  const result = await task();
  if (E.isLeft(result)) throw result.left;
  return result.right;
};

const right = <L, A>(either: E.Either<L, A>): A => {
  if (E.isLeft(either)) throw either.left;
  return either.right;
};

/** @returns the exit status */
export const exportRun = async (argv: readonly string[], { line } = terminal()): Promise<number> => {
  const options = right(parseConfig(schema, argv));
  if (options.help) { line(helpText({ usage: 'node pipelines/export.ts', summary: 'export: writes a trained model as an ONNX file', schema })); return 0; }
  const { run, record } = await unwrap(runOf(options.run));
  const method = await methodOf(record.method);
  const config = right(parseConfig(method.schema, [], { layers: [{ name: join(run.path, configFile), values: record.config }] }));
  const multiple = method.multipleOf(config);
  const size = options.size ?? config.data.size;
  if (options.dynamic && options.size !== undefined) throw new ConfigError('size', 'expected either --size or --dynamic but received both');
  if (size % multiple !== 0) throw new ConfigError('size', `--size: expected a multiple of ${multiple} but received ${size}`);
  const hasBest = options.checkpoint !== 'best' || await stat(join(run.checkpoints, 'best')).then(() => true, () => false);
  const checkpoint = await unwrap(findCheckpoint(run, hasBest ? options.checkpoint : 'latest'));
  process.env['MILLRACE_BACKEND'] ??= 'onnx-cpu';
  await tf.startEngine();
  const nets = method.nets(config);
  try {
    await unwrap(restoreForUse(checkpoint.path, nets));
    const translate = method.translate(nets, config);
    const network: Exported = (source, key) => tf.clipByValue(translate(source, { keys: [key], ...(options.steps !== undefined && { steps: options.steps }) }), -1, 1) as tf.Tensor4D;
    const model = await exportNetwork(method.name, network, {
      size: options.dynamic ? [multiple, multiple] : [size, size], dynamic: options.dynamic, half: options.half,
      metadata: { method: method.name, step: `${checkpoint.state.step}`, range: '-1..1', layout: 'NHWC', multipleOf: `${multiple}` },
    });
    await writeFileAtomic(resolve(options.out), model.bytes);
    const sizes: [number, number][] = options.dynamic ? [[size, size], [size + multiple, size + 3 * multiple]] : [[size, size]];
    for (const at of sizes) {
      const error = await exportError(model, network, at);
      line(`${at[1]} x ${at[0]} pixels: largest difference from the network ${error.toExponential(1)} (of a range of 2)`);
    }
    const inputs = model.inputs.map(({ name, shape }) => `${name} [${shape.join(', ')}]`).join(', ');
    line(`${shownPath(resolve(options.out))}: ${method.name} at step ${checkpoint.state.step}, ${(model.bytes.length / 2 ** 20).toFixed(1)} MiB, takes ${inputs}`);
    return 0;
  } finally {
    free(nets);
  }
};

if (import.meta.main) {
  process.exitCode = await exportRun(process.argv.slice(2)).catch((cause: unknown) => { process.stderr.write(`${errorText(cause)}\n`); return 1; });
  setTimeout(() => { process.exit(); }, 2000).unref();
}
