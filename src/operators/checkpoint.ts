import { type ObservableInput, type OperatorFunction, concat, concatMap, defer, dematerialize, ignoreElements, map, materialize, merge, of, tap, withLatestFrom } from 'rxjs';
import { NonFiniteLossError } from '../errors.ts';
import { type Keeper, type KeeperOptions, type Savable, checkpointKeeper } from '../run/keeper.ts';
import type { RunContext } from '../run/method.ts';
import { checkEvery } from '../run/observed.ts';
import { failAs } from '../streams/failAs.ts';
import type { Settled } from '../streams/frames.ts';
import type { Resource } from '../streams/scoped.ts';

/** Runs a task for its effect; fails with it. */
const effect = (task: () => ObservableInput<unknown>) => defer(task).pipe(ignoreElements());

/**
 * Saves the run as `checkpoints/checkpoint-<completed steps>`: on its interval, when a validation was the best so far, when asked, and when the source
 * ends with a step that was not saved. `latest` and `best` lead to checkpoints. It goes around whatever looks at a step: a checkpoint is written after them,
 * since it vouches for the logs and knows the scores, but a step is whole before, so that it is saved also when one of them fails.
 * When the source or an observer fails, the last whole step is saved first, unless training has begun to change the variables since, or the loss was not finite.
 *
 * Reads  step, epoch; scores when `validate` is among the observers
 * Adds   what the observers add
 * Timing one frame out for each frame in, after its checkpoint is on the disk, synchronously when none is due; ends and fails with its source and its observers.
 * @param resources what is saved, by the names the files get
 * @param observers one frame out for each frame in; the last of them is `report`
 * @param options.every steps between checkpoints
 * @param options.keep newest checkpoints that are kept, beside the best
 * @param options.whenFull whether a full disk ends the run or lets it go on without the checkpoint; the last checkpoint of a run always ends it
 * @param options.keeperOf makes what decides and saves
 * @throws RangeError when `every` or `keep` is not a positive integer; CheckpointError as the stream's error
 */
export function checkpoint<F extends Settled, G extends Savable>(
  run: Pick<RunContext, 'folder' | 'seed' | 'start' | 'steps' | 'control' | 'report'>, resources: Readonly<Record<string, Resource>>, observers: OperatorFunction<F, G>,
  { every, keep = 3, whenFull = 'continue', keeperOf = checkpointKeeper }: Partial<KeeperOptions> & Pick<KeeperOptions, 'every'> & Readonly<{ keeperOf?: typeof checkpointKeeper }>,
): OperatorFunction<F, G> {
  checkEvery('checkpoint', every);
  if (!Number.isInteger(keep) || keep < 1) throw new RangeError(`checkpoint: expected keep to be a positive integer but received ${keep}`);
  return (source) => defer(() => {
    const keeper: Keeper = keeperOf(run, resources, { every, keep, whenFull });
    const asked = run.control.save.pipe(withLatestFrom(run.control.paused), map(([, paused]) => ({ kind: 'ask', paused }) as const));
    const observed = source.pipe(tap((frame) => { keeper.trained(frame); }), observers, materialize());
    return merge(asked, observed).pipe(
      concatMap((event) => {
        switch (event.kind) {
          case 'ask': return effect(() => keeper.ask(event.paused));
          case 'N': return keeper.see(event.value as G) ? concat(effect(() => keeper.save()).pipe(failAs('checkpoint', event.value as G)), of(event)) : of(event);
          case 'C': return keeper.isUnsaved() ? concat(effect(() => keeper.end(false)), of(event)) : of(event);
          case 'E': return keeper.isUnsaved() && !(event.error instanceof NonFiniteLossError) ? concat(effect(() => keeper.end(true)), of(event)) : of(event);
        }
      }),
      dematerialize(),
    );
  });
}
