import { type Observable, catchError, concat, concatMap, defer, ignoreElements, of, tap, throwError } from 'rxjs';
import * as E from 'fp-ts/lib/Either.js';
import type { CheckpointError } from '../errors.ts';
import { creditGate } from '../streams/creditGate.ts';
import { fromTaskEither } from '../streams/fromTaskEither.ts';
import { type Resource, free, scoped } from '../streams/scoped.ts';
import type { EngineInfo } from '../tf.ts';
import type { Dataset } from '../data/dataset.ts';
import type { Control } from './control.ts';
import { reconstructionOf } from '../data/reconstruction.ts';
import { setAsideAfter } from './checkpoint.ts';
import { describeEnvironment, noteResume } from './environment.ts';
import { readGiven } from './given.ts';
import type { BaseConfig, Method, ReportSink, RunContext, SkippedFiles } from './method.ts';
import { type Verified, findCheckpoint, newestCheckpoint, restoreVariables } from './restore.ts';
import { type RunFolder, createRunFolder, rewindRunFolder } from './runFolder.ts';
import { type FoundWeights, fitWeights } from './startingWeights.ts';

/** How a run ended. */
export type RunEnd = Readonly<{
  folder: RunFolder;
  /** Completed steps. */
  step: number;
}>;

/** A run failed: what it was, and where what it had reached lies. */
export class RunError extends Error {
  readonly end: RunEnd;
  constructor(end: RunEnd, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.name = 'RunError';
    this.end = end;
  }
}

/** A run to go on with: from one of its checkpoints, or the newest that verifies. */
export type Resumption = Readonly<{ resume: RunFolder; checkpoint?: string }>;

/** Where a run begins: in a new folder, from fresh draws or from weights that were found; or where another was broken off. */
export type Beginning = Readonly<{ weights?: FoundWeights; parent?: string }> | Resumption;

export type Training<C> = Readonly<{
  config: C;
  dataset: Dataset;
  engine: EngineInfo;
  /** Folder of all runs. */
  out: string;
  begin: Beginning;
  control: Control;
  skippedFiles: SkippedFiles;
  decoders?: RunContext['decoders'];
  strict: boolean;
  report: ReportSink;
}>;

const open = async <C>(method: string, { config, engine, out, begin, report }: Training<C>): Promise<Readonly<{ folder: RunFolder; from?: Verified }>> => {
  if (!('resume' in begin)) {
    const env = await describeEnvironment(engine, { ...(begin.parent && { parent: begin.parent }) });
    const made = await createRunFolder({ root: out, method, config, env })();
    if (E.isLeft(made)) throw made.left;
    return { folder: made.right };
  }
  const folder = begin.resume;
  const found: E.Either<CheckpointError, Verified | undefined> = await (begin.checkpoint === undefined ? newestCheckpoint(folder) : findCheckpoint(folder, begin.checkpoint))();
  if (E.isLeft(found)) throw found.left;
  const from = found.right;
  for (const { message } of from?.broken ?? []) report.line(`passed over: ${message}`);
  const step = from?.state.step ?? 0;
  // Before the logs are cut back: a kill in between leaves a run that goes on from the same checkpoint.
  const aside = from && begin.checkpoint !== undefined ? await setAsideAfter(folder.checkpoints, from.state) : [];
  if (aside.length > 0) report.line(`set aside, since the run takes another course from here: ${aside.join(', ')}`);
  const rewound = await rewindRunFolder(folder, step)();
  if (E.isLeft(rewound)) throw rewound.left;
  await noteResume(folder, step, await describeEnvironment(engine));
  report.line(from ? `resuming at step ${step}, from ${from.path}` : `${folder.path}: no checkpoint was saved; beginning at step 0`);
  return { folder, ...(from && { from }) };
};

/**
 * Trains one run: opens its folder, makes the nets, restores them, trains, frees them.
 *
 * Timing one value when training has ended, by itself or by `control.stop`; fails with a RunError once there is a folder.
 */
export const trainRun = <C extends BaseConfig, N extends Readonly<Record<string, Resource>>>(method: Method<C, N>, training: Training<C>): Observable<RunEnd> =>
  defer(async () => ({ files: await readGiven(method.files?.(training.config, 'training') ?? {}), ...await open(method.name, training) })).pipe(concatMap(({ files, folder, from: checkpoint }) => {
    const { config, begin, control, skippedFiles, decoders, strict, report } = training;
    const sides = method.reconstructs?.(config);
    const dataset = sides ? reconstructionOf(training.dataset, sides) : training.dataset;
    const start = checkpoint?.state.step ?? 0;
    let step = start;
    const context: RunContext = {
      folder, dataset, start, steps: config.steps, seed: config.seed, control, skippedFiles, decoders, strict, report,
      gate: (credits) => creditGate(credits, { paused: control.paused, stop: control.stop }),
    };
    const makeNets = (): N => {
      if (!('weights' in begin) || begin.weights === undefined) return method.nets(config, files);
      const fresh = method.nets(config, files);
      const fitted = fitWeights(fresh, begin.weights);
      free(fresh);
      if (E.isLeft(fitted)) throw fitted.left;
      for (const text of fitted.right.lines) report.line(text);
      return method.nets(config, { ...files, ...fitted.right.given });
    };
    report.line(`run ${folder.path}`);
    if (sides) report.line(`reconstructing ${sides === 'both' ? 'sources and targets' : `the ${sides}`}: ${dataset.train.length} images to train on, ${dataset.validation.length} held out`);
    if (start >= config.steps) {
      report.line(`${start} of ${config.steps} steps are done already; --steps with more trains on`);
      return of({ folder, step });
    }
    return scoped(makeNets, (nets) => concat(
      checkpoint ? fromTaskEither(restoreVariables(checkpoint.path, nets)) : of(undefined),
      defer(() => method.train(config, context, nets)).pipe(tap((settled) => { step = settled.step + 1; })),
    ).pipe(ignoreElements())).pipe(
      (trained) => concat(trained, defer(() => of({ folder, step }))),
      catchError((cause: unknown) => throwError(() => new RunError({ folder, step }, cause))),
    );
  }));
