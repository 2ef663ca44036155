/** Training one variant of a comparison: for a number of steps, or for as many as a budget of seconds allows. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import { concat, defer, ignoreElements, lastValueFrom, merge, tap } from 'rxjs';
import type { Dataset } from '../../data/dataset.ts';
import { creditGate } from '../../streams/creditGate.ts';
import { type Resource, free, scoped } from '../../streams/scoped.ts';
import type { EngineInfo } from '../../tf.ts';
import { ConfigError } from '../../errors.ts';
import { isNet } from '../checkpointPlan.ts';
import { type Control, controlPanel } from '../control.ts';
import { describeEnvironment } from '../environment.ts';
import { filledIn } from '../fillIn.ts';
import { readGiven } from '../given.ts';
import type { BaseConfig, ReportSink, RunContext, SkippedFiles, Translate } from '../method.ts';
import { createRunFolder } from '../runFolder.ts';
import { stopwatch } from './stopwatch.ts';
import type { Variant } from './variants.ts';

/** One validation on the way. */
export type CurvePoint = Readonly<{ step: number; images: number; seconds: number; psnr: number; ssim: number }>;

export type Trained = Readonly<{
  config: BaseConfig;
  /** The run folder. */
  folder: string;
  steps: number;
  /** Seconds of training: start-up, validations and checkpoints left out. */
  seconds: number;
  secondsPerStep: number;
  startUp: number;
  images: number;
  /** Values of each net, by name. */
  parameters: Readonly<Record<string, number>>;
  curve: readonly CurvePoint[];
  /** Names of the images of each step. */
  batches: readonly (readonly string[])[];
}>;

export type TrainingPlace = Readonly<{
  dataset: Dataset;
  engine: EngineInfo;
  out: string;
  control: Control;
  skippedFiles: SkippedFiles;
  report: ReportSink;
}>;

const sizeOfNet = (resource: Resource): number | undefined => {
  if (!isNet(resource)) return undefined;
  return [...resource.layout, ...resource.frozenLayout].reduce((sum, { size }) => sum + size, 0);
};

/** Makes a variant's nets and frees them, so that what cannot be made is known before anything is trained. @throws what making them throws, under the variant's label */
export const tryNets = async ({ label, method, config }: Variant): Promise<void> => {
  try {
    const whole = await filledIn(method.schema, config);
    free(method.nets(whole, await readGiven(await method.files?.(whole, 'training') ?? {})));
  } catch (cause) {
    throw new ConfigError(label, `${label}: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
  }
};

/**
 * Trains one variant from fresh draws in a run folder of its own, and hands the trained model to `use` before its nets are freed.
 * @param options.points validations on the way, with the last step's @param options.limit seconds of training after which it is stopped
 */
export const trainVariant = async <T>({ method, configure }: Variant, steps: number, place: TrainingPlace, { points, limit = Infinity }: { points: number; limit?: number }, use: (translate: Translate, config: BaseConfig, trained: Trained) => Promise<T>): Promise<T> => {
  const { dataset, engine, out, control, skippedFiles, report } = place;
  const every = Math.max(1, Math.ceil(steps / points));
  const config = await filledIn(method.schema, configure({ steps, 'track.validateEvery': every, 'track.sampleEvery': steps, 'track.saveEvery': steps, 'sample.sweep': '[]' }));
  const made = await createRunFolder({ root: out, method: method.name, config, env: await describeEnvironment(engine) })();
  if (E.isLeft(made)) throw made.left;
  const folder = made.right;
  const own = controlPanel();
  const stop = merge(control.stop, own.stop);
  const context: RunContext = {
    folder, dataset, start: 0, steps, seed: config.seed, control: { ...control, stop }, skippedFiles, strict: false, report,
    gate: (credits) => creditGate(credits, { paused: control.paused, stop }),
  };
  const given = await readGiven(method.files?.(config, 'training') ?? {});
  return lastValueFrom(scoped(() => method.nets(config, given), (nets) => {
    const watch = stopwatch(performance.now());
    const curve: CurvePoint[] = [];
    const batches: (readonly string[])[] = [];
    const parameters = Object.fromEntries(Object.entries(nets).flatMap(([name, resource]) => { const size = sizeOfNet(resource); return size === undefined ? [] : [[name, size]]; }));
    const trained = method.train(config, context, nets).pipe(
      tap(({ ids, metrics }) => {
        const [psnr, ssim] = [metrics['val.psnr'], metrics['val.ssim']];
        batches.push(ids);
        watch.mark(performance.now(), psnr === undefined && batches.length < steps);
        if (psnr !== undefined && ssim !== undefined) curve.push({ step: batches.length, images: batches.length * config.data.batch, seconds: watch.seconds, psnr, ssim });
        if (watch.seconds >= limit) own.requestStop();
      }),
      ignoreElements(),
    );
    return concat(trained, defer(() => use(method.translate(nets, config), config, {
      config, folder: folder.path, steps: batches.length, seconds: watch.seconds, secondsPerStep: watch.secondsPerStep, startUp: watch.startUp,
      images: batches.length * config.data.batch, parameters, curve, batches,
    })));
  }));
};

/** Steps of the trial run that `stepsWithin` times. */
const trial = 8;

/**
 * How many steps a budget allows, by a trial run of a few that is thrown away. So the learning rate's course ends with the budget, as it does for a number of
 * steps.
 * @param seconds of training
 */
export const stepsWithin = async (variant: Variant, seconds: number, place: TrainingPlace): Promise<number> => {
  const out = await mkdtemp(join(tmpdir(), 'millrace-trial-'));
  try {
    const quiet = { line: () => {}, bar: () => {} };
    const dataset = { ...place.dataset, validation: [] };
    const secondsPerStep = await trainVariant(variant, trial, { ...place, dataset, out, report: quiet }, { points: 1 }, async (_translate, _config, trained) => trained.secondsPerStep);
    return Math.max(1, Math.round(seconds / Math.max(1e-6, secondsPerStep)));
  } finally {
    await rm(out, { recursive: true, force: true });
  }
};
