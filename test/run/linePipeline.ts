/** The smallest method there is, as a program: it fits a line to pairs that are files of two numbers. For tests of what surrounds a method. */
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { type OperatorFunction, concatMap, map, pipe } from 'rxjs';
import { z } from 'zod';
import type { Dataset } from '../../src/data/dataset.ts';
import { DatasetError, DecodeError } from '../../src/errors.ts';
import { weighted } from '../../src/losses/objective.ts';
import { backward } from '../../src/operators/backward.ts';
import { checkpoint } from '../../src/operators/checkpoint.ts';
import { guard } from '../../src/operators/guard.ts';
import { report } from '../../src/operators/report.ts';
import { sgd } from '../../src/optim/sgd.ts';
import type { Datasets } from '../../src/run/datasets.ts';
import type { Method } from '../../src/run/method.ts';
import { runPipeline } from '../../src/run/runPipeline.ts';
import type { Batch } from '../../src/streams/frames.ts';
import { OperatorError, mapTensors } from '../../src/streams/mapTensors.ts';
import { settle } from '../../src/streams/settle.ts';
import * as tf from '../../src/tf.ts';
import { type Line, type Point, halfMse, makeLine } from '../operators/line.ts';

type Points = Readonly<{ root: string; files: Readonly<Record<string, string>>; unused: readonly never[] }>;
type Read = Batch & Readonly<{ points: readonly number[] }>;
type Out = Readonly<{ out: tf.Tensor1D }>;

const readPoints = async (root: string): Promise<Points> => {
  const names = (await readdir(root)).filter((name) => name.endsWith('.txt')).sort();
  if (names.length === 0) throw new DatasetError(root, `${root}: expected points but found none`);
  return { root, unused: [], files: Object.fromEntries(await Promise.all(names.map(async (name) => [name, await readFile(join(root, name), 'utf8')] as const))) };
};
const open = (root: string): TE.TaskEither<DatasetError, Points> => TE.tryCatch(() => readPoints(root),
  (cause) => (cause instanceof DatasetError ? cause : new DatasetError(root, `${root}: expected a folder of points but found nothing`, cause)));

/** Folders of `<name>.txt`, each `x y`. An empty file is a pair that is waited for. */
export const pointFolders = {
  open,
  describe: ({ root, files }: Points) => [`${Object.keys(files).length} points in ${root}`],
  rescan: (known: Points) => TE.map((found: Points) => {
    const [before, after] = [known.files, found.files].map((files) => Object.entries(files).filter(([, text]) => text !== ''));
    const waiting = Object.entries(found.files).flatMap(([name, text]) => (text === '' ? [`waiting for the other half of ${name}`] : []));
    return { dataset: found, lines: [`${after?.length} points, before ${before?.length}`, ...waiting], differs: JSON.stringify(before) !== JSON.stringify(after) };
  })(open(known.root)),
} as unknown as Datasets;

const schema = z.object({
  data: z.object({
    root: z.string().default('points').meta({ flag: 'data' }), size: z.int().default(8), batch: z.int().default(2),
  }),
  steps: z.int().min(1).default(20).describe('training steps').meta({ flag: 'steps' }),
  seed: z.int().default(0).meta({ flag: 'seed' }),
  lr: z.number().default(0.05).describe('learning rate'),
  delay: z.number().default(0).describe('milliseconds that reading a batch takes'),
  linger: z.number().default(0).describe('milliseconds that a step takes'),
  failAt: z.int().default(-1).describe('step at which the operator in the middle fails'),
});
type Config = z.output<typeof schema>;

export const linePipeline: Method<Config, { line: Line }> = {
  name: 'line',
  summary: 'fits a line to points',
  schema,
  nets: ({ lr }, given = {}) => ({ line: makeLine({ optimizer: sgd({ momentum: 0.5 }), lr: () => lr, shadow: true, given: given['line'] ?? {} }) }),
  train: ({ data, steps, delay, linger, failAt }, run, { line }) => {
    const { files, root } = run.dataset as unknown as Points;
    const names = Object.keys(files);
    const gate = run.gate(2);
    function* batches(): Iterable<Batch> {
      for (let step = run.start; step < steps; step++) yield { step, epoch: 0, ids: Array.from({ length: data.batch }, (_, i) => names[(step * data.batch + i) % names.length] as string) };
    }
    const read = concatMap(async (batch: Batch): Promise<Read> => {
      await new Promise((resolve) => { setTimeout(resolve, delay); });
      return { ...batch, points: (await Promise.all(batch.ids.map(async (id) => {
        const text = await readFile(join(root, id), 'utf8').catch((cause) => { throw new OperatorError('read', batch, new DecodeError(id, `${id}: expected two numbers but found nothing`, cause)); });
        return text.split(' ').map(Number);
      }))).flat() };
    });
    const upload = mapTensors('upload', ({ points, ...batch }: Read): Point => {
      if (batch.step === failAt) throw new Error('asked to fail');
      return { ...batch, x: tf.tensor1d(points.filter((_, i) => i % 2 === 0)), y: tf.tensor1d(points.filter((_, i) => i % 2 === 1)) };
    });
    const learn: OperatorFunction<Point, Batch & { metrics: Record<string, number> }> = pipe(
      backward<Point, [tf.Tensor1D], tf.Tensor1D, Out>(line, (net, { x }) => ({ out: net(x) }), weighted<Point & Out>({ error: [1, halfMse] })),
      settle(),
    );
    return gate.pull(batches()).pipe(
      read, gate.inTurn(), linger > 0 ? concatMap(async (frame: Read) => { await new Promise((resolve) => { setTimeout(resolve, linger); }); return frame; }) : map((frame: Read) => frame), upload, gate.stage('engine', learn), gate.stage('disk', pipe(guard(run), checkpoint(run, { line }, report(run, gate, { every: 1 }), { every: 1000 }))), gate.settle(),
    );
  },
  translate: () => (source) => source,
  multipleOf: () => 1,
};

if (import.meta.main) await runPipeline(linePipeline, process.argv.slice(2), { datasets: pointFolders });
