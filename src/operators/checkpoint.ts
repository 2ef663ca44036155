import { type MonoTypeOperatorFunction, type ObservableInput, concat, concatMap, defer, dematerialize, ignoreElements, map, materialize, merge, of, withLatestFrom } from 'rxjs';
import { NonFiniteLossError } from '../errors.ts';
import { type Keeper, type KeeperOptions, type Savable, checkpointKeeper } from '../run/keeper.ts';
import type { RunContext } from '../run/method.ts';
import { checkEvery } from '../run/observed.ts';
import { failAs } from '../streams/failAs.ts';
import type { Resource } from '../streams/scoped.ts';

/** Runs a task for its effect; fails with it. */
const effect = (task: () => ObservableInput<unknown>) => defer(task).pipe(ignoreElements());

/**
 * Saves the run as `checkpoints/checkpoint-<completed steps>`: on its interval, when a validation was the best so far, when asked, and when the source
 * ends with a step that was not saved. Comes after `report`, since a checkpoint vouches for the logs. `latest` and `best` lead to checkpoints.
 * When the source fails, the last whole step is saved first, unless training has begun to change the variables since, or the loss was not finite.
 *
 * Reads  step, epoch; scores when `validate` came before
 * Adds   nothing
 * Timing one frame out for each frame in, after its checkpoint is on the disk, synchronously when none is due; ends and fails with its source.
 * @param resources what is saved, by the names the files get
 * @param options.every steps between checkpoints
 * @param options.keep newest checkpoints that are kept, beside the best
 * @param options.whenFull whether a full disk ends the run or lets it go on without the checkpoint; the last checkpoint of a run always ends it
 * @param options.keeperOf makes what decides and saves
 * @throws RangeError when `every` or `keep` is not a positive integer; CheckpointError as the stream's error
 */
export function checkpoint<F extends Savable>(
  run: Pick<RunContext, 'folder' | 'seed' | 'start' | 'steps' | 'control' | 'report'>, resources: Readonly<Record<string, Resource>>,
  { every, keep = 3, whenFull = 'continue', keeperOf = checkpointKeeper }: Partial<KeeperOptions> & Pick<KeeperOptions, 'every'> & Readonly<{ keeperOf?: typeof checkpointKeeper }>,
): MonoTypeOperatorFunction<F> {
  checkEvery('checkpoint', every);
  if (!Number.isInteger(keep) || keep < 1) throw new RangeError(`checkpoint: expected keep to be a positive integer but received ${keep}`);
  return (source) => defer(() => {
    const keeper: Keeper = keeperOf(run, resources, { every, keep, whenFull });
    const asked = run.control.save.pipe(withLatestFrom(run.control.paused), map(([, paused]) => ({ kind: 'ask', paused }) as const));
    return merge(asked, source.pipe(materialize())).pipe(
      concatMap((event) => {
        switch (event.kind) {
          case 'ask': return effect(() => keeper.ask(event.paused));
          case 'N': return keeper.see(event.value as F) ? concat(effect(() => keeper.save()).pipe(failAs('checkpoint', event.value as F)), of(event)) : of(event);
          case 'C': return keeper.isUnsaved() ? concat(effect(() => keeper.end(false)), of(event)) : of(event);
          case 'E': return keeper.isUnsaved() && !(event.error instanceof NonFiniteLossError) ? concat(effect(() => keeper.end(true)), of(event)) : of(event);
        }
      }),
      dematerialize(),
    );
  });
}
