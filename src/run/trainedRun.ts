/** A trained model out of a run folder, ready to be used: what `infer` and `export` begin with. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Resource, free } from '../streams/scoped.ts';
import { follow } from './atomic.ts';
import { parseConfig } from './config.ts';
import { filledIn } from './fillIn.ts';
import { readGiven } from './given.ts';
import type { BaseConfig } from './method.ts';
import { orThrow, unwrap } from './orThrow.ts';
import { type AnyMethod, methodOf } from './pipelineFiles.ts';
import { type Verified, findCheckpoint, restoreForUse, runOf } from './restore.ts';
import { configFile } from './runFolder.ts';

/** A run on disk, and the checkpoint of it that is to be used: nothing is in memory yet. */
export type TrainedRun = Readonly<{ method: AnyMethod; config: BaseConfig; checkpoint: Verified }>;

/**
 * Finds a run and one checkpoint of it.
 * @param path a run folder, a link to one, or a checkpoint inside one, which then is the one that is meant
 * @param options.checkpoint `best`, `latest`, or the path of one; where there is no best, the latest
 * @param options.words of the command line that lie over the run's configuration, such as `--set flow.sampler=heun`
 * @param options.others flags known elsewhere, for the spelling of suggestions
 * @throws ConfigError, CheckpointError
 */
export const findTrained = async (path: string, { checkpoint: which, words = [], others = [] }: { checkpoint: string; words?: readonly string[]; others?: readonly string[] }): Promise<TrainedRun> => {
  const { run, record } = await unwrap(runOf(path));
  const method = await methodOf(record.method);
  const asked = orThrow(parseConfig(method.schema, words, { layers: [{ name: join(run.path, configFile), values: record.config }], others }));
  const config = await filledIn(method.schema, asked);
  const named = await follow(path);
  const hasBest = which !== 'best' || await stat(join(run.checkpoints, 'best')).then(() => true, () => false);
  const checkpoint = await unwrap(findCheckpoint(run, named !== run.path ? named : hasBest ? which : 'latest'));
  return { method, config, checkpoint };
};

/**
 * Makes the nets of a trained run, with its averaged weights, for as long as `use` takes; the engine has started.
 * @throws WeightsError for the files that nets are made from, CheckpointError
 */
export const withTrained = async <T>({ method, config, checkpoint }: TrainedRun, use: (nets: Readonly<Record<string, Resource>>) => Promise<T>): Promise<T> => {
  const nets = method.nets(config, await readGiven(method.files?.(config, 'use') ?? {}));
  try {
    await unwrap(restoreForUse(checkpoint.path, nets));
    return await use(nets);
  } finally {
    free(nets);
  }
};
