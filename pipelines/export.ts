/**
 * Writes a trained model as an ONNX file, and checks the file against the model.
 * Run: node pipelines/export.ts --run runs/turbo/latest --out turbo.onnx [--size 256 | --dynamic] [--half] [--steps 4] [--set flow.sampler=heun] [--checkpoint best]
 * The file takes `source` and answers `image`, both float32 [1, H, W, 3] in [-1, 1]; samplers take unit-normal values as `noise0`, `noise1`, ... besides.
 */
import { resolve } from 'node:path';
import { z } from 'zod';
import { type Exported, exportError, exportNetwork } from '../src/engine/export.ts';
import { ConfigError } from '../src/errors.ts';
import { writeFileAtomic } from '../src/run/atomic.ts';
import { takeOptions } from '../src/run/config.ts';
import { helpText } from '../src/run/help.ts';
import type { BaseConfig, Part } from '../src/run/method.ts';
import { orThrow } from '../src/run/orThrow.ts';
import { errorText, shownPath } from '../src/run/outcome.ts';
import type { AnyMethod } from '../src/run/pipelineFiles.ts';
import { terminal } from '../src/run/terminal.ts';
import { findTrained, withTrained } from '../src/run/trainedRun.ts';
import type { Resource } from '../src/streams/scoped.ts';
import * as tf from '../src/tf.ts';

const schema = z.object({
  help: z.boolean().default(false).describe('print this and end').meta({ flag: 'help' }),
  run: z.string().default('runs/turbo/latest').describe('run folder, or a checkpoint in one').meta({ flag: 'run' }),
  out: z.string().default('model.onnx').describe('the file to write').meta({ flag: 'out' }),
  checkpoint: z.string().default('best').describe('best, latest, or the path of one; where there is no best, the latest').meta({ flag: 'checkpoint' }),
  size: z.int().min(1).optional().describe('height and width of the images, in pixels; the training size by default').meta({ flag: 'size' }),
  dynamic: z.boolean().default(false).describe('leave height and width free').meta({ flag: 'dynamic' }),
  half: z.boolean().default(false).describe('weights and most arithmetic in half precision').meta({ flag: 'half' }),
  steps: z.int().min(1).optional().describe('sampler steps, for models that take several').meta({ flag: 'steps' }),
  part: z.string().optional().describe('a piece alone, such as the encoder or decoder of an autoencoder').meta({ flag: 'part' }),
});

/** @throws ConfigError where the method has no such piece */
const partOf = (method: AnyMethod, nets: Readonly<Record<string, Resource>>, config: BaseConfig, name: string | undefined): Part | undefined => {
  if (name === undefined) return undefined;
  const parts = method.parts?.(nets, config) ?? {};
  const part = Object.hasOwn(parts, name) ? parts[name] : undefined;
  if (!part) throw new ConfigError('part', `--part: expected ${Object.keys(parts).join(' or ') || `no part, since ${method.name} has none`} but received ${name}`);
  return part;
};

/** @returns the exit status */
export const exportRun = async (argv: readonly string[], { line } = terminal()): Promise<number> => {
  const { options, rest } = orThrow(takeOptions(schema, argv));
  if (options.help) { line(helpText({ usage: 'node pipelines/export.ts', summary: 'export: writes a trained model as an ONNX file', schema })); return 0; }
  const trained = await findTrained(options.run, { checkpoint: options.checkpoint, words: rest, others: Object.keys(schema.shape) });
  const { method, config, checkpoint } = trained;
  const multiple = method.multipleOf(config);
  const size = options.size ?? config.data.size;
  if (options.dynamic && options.size !== undefined) throw new ConfigError('size', 'expected either --size or --dynamic but received both');
  if (size % multiple !== 0) throw new ConfigError('size', `--size: expected a multiple of ${multiple} but received ${size}`);
  process.env['MILLRACE_BACKEND'] ??= 'onnx-cpu';
  await tf.startEngine();
  return withTrained(trained, async (nets) => {
    const piece = partOf(method, nets, config, options.part);
    const translate = method.translate(nets, config);
    const network: Exported = piece ? piece.run : (source, key) => tf.clipByValue(translate(source, { keys: [key], ...(options.steps !== undefined && { steps: options.steps }) }), -1, 1) as tf.Tensor4D;
    const { factor, channels } = piece ?? { factor: 1, channels: 3 };
    const model = await exportNetwork(piece ? `${method.name}.${options.part}` : method.name, network, {
      size: options.dynamic ? [multiple / factor, multiple / factor] : [size / factor, size / factor], dynamic: options.dynamic, half: options.half,
      metadata: { method: method.name, step: `${checkpoint.state.step}`, range: '-1..1', layout: 'NHWC', multipleOf: `${multiple / factor}`, ...(options.part && { part: options.part }) },
    }, channels);
    await writeFileAtomic(resolve(options.out), model.bytes);
    const sizes = (options.dynamic ? [[size, size], [size + multiple, size + 3 * multiple]] : [[size, size]]).map((sides) => sides.map((side) => side / factor) as [number, number]);
    for (const at of sizes) {
      const error = await exportError(model, network, at, channels);
      line(`${at[1]} x ${at[0]} ${factor === 1 ? 'pixels' : 'latent cells'}: largest difference from the network ${error.toExponential(1)}${piece ? '' : ' (of a range of 2)'}`);
    }
    const inputs = model.inputs.map(({ name, shape }) => `${name} [${shape.join(', ')}]`).join(', ');
    line(`${shownPath(resolve(options.out))}: ${method.name} at step ${checkpoint.state.step}, ${(model.bytes.length / 2 ** 20).toFixed(1)} MiB, takes ${inputs}`);
    return 0;
  });
};

if (import.meta.main) {
  process.exitCode = await exportRun(process.argv.slice(2)).catch((cause: unknown) => { process.stderr.write(`${errorText(cause)}\n`); return 1; });
  setTimeout(() => { process.exit(); }, 2000).unref();
}
