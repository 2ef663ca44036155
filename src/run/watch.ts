import { BehaviorSubject, EMPTY, type Observable, type ObservableInput, ReplaySubject, catchError, concat, concatMap, defer, finalize, from, merge, of, takeUntil, tap } from 'rxjs';
import { DatasetError } from '../errors.ts';
import { switchAfter } from '../streams/switchAfter.ts';
import type { FolderChange } from '../streams/watchFolder.ts';

/** What a look at a changed folder found. */
export type Rescan<D> = Readonly<{
  dataset: D;
  /** What changed, in lines for a person; incomplete pairs that are waited for among them. */
  lines: readonly string[];
  /** Whether what is trained on differs from before. */
  differs: boolean;
}>;

/** What a run of watch mode is told beside its dataset. */
export type Turn<R> = Readonly<{
  /** Ends the run cleanly; repeats itself to late subscribers. */
  stop: Observable<void>;
  /** True while the dataset's folder is gone, or holds nothing that can be trained on. */
  gone: Observable<boolean>;
  /** How the run before this one ended; undefined for the first. */
  parent: R | undefined;
}>;

/**
 * Trains, and trains again whenever the dataset has changed: the run under way is asked to end, and the next begins when it has. A run that is through
 * waits for the next change. While the folder is gone or of no use, the run is held.
 *
 * Timing emits how each run ended; ends after `stop`, when the run under way has; fails with a run at once, and with the watching when the run has ended.
 * @param options.dataset what to begin with
 * @param options.changes settled changes of the folder; see `watchFolder`
 * @param options.rescan reads the folder again, as far as these paths are concerned
 * @param options.train one run; ends soon after its `stop`
 */
export const watchRuns = <D, R>({ root, dataset, changes, rescan, train, forgive, say, stop }: Readonly<{
  root: string;
  dataset: D;
  changes: Observable<FolderChange>;
  rescan: (known: D, paths: readonly string[]) => ObservableInput<Rescan<D>>;
  train: (dataset: D, turn: Turn<R>) => Observable<R>;
  /** Whether a run failed for want of its files: how it ended then, and watching goes on; undefined lets the failure pass. */
  forgive: (cause: unknown) => Readonly<{ end: R | undefined; why: string }> | undefined;
  say: (text: string) => void;
  stop: Observable<void>;
}>): Observable<R> => defer(() => {
  const gone = new BehaviorSubject(false);
  let known = dataset;
  let parent: R | undefined;
  let isBroken = false;

  const look = (paths: readonly string[]): Observable<D> => from(rescan(known, paths)).pipe(
    concatMap((found) => {
      known = found.dataset;
      if (found.differs || paths.length > 0) for (const text of found.lines) say(text);
      // A run that lost its files is due again with the same dataset.
      const differs = found.differs || isBroken;
      // The run that is held ends before the hold does: it must not go on with files that are no more.
      return concat(differs ? of(known) : EMPTY, defer(() => {
        if (!differs && gone.value) say(`${root}: the dataset is as it was; going on`);
        gone.next(false);
        return EMPTY;
      }));
    }),
    catchError((cause: unknown) => {
      if (!(cause instanceof DatasetError)) throw cause;
      say(`paused until this is mended: ${cause.message}`);
      gone.next(true);
      return EMPTY;
    }),
  );
  // A watch that fails ends the run cleanly first.
  const blind = new ReplaySubject<void>(1);
  let failure: Readonly<{ cause: unknown }> | undefined;
  const datasets = changes.pipe(takeUntil(stop), concatMap((change) => {
    switch (change.kind) {
      case 'gone':
        say(`${root}: the folder is gone; paused until it is back`);
        gone.next(true);
        return EMPTY;
      case 'back':
        say(`${root}: the folder is back`);
        return EMPTY;
      case 'changed': return look(change.paths);
    }
  }), catchError((cause: unknown) => {
    failure = { cause };
    blind.next();
    return EMPTY;
  }));
  const runs = merge(of(dataset), datasets).pipe(switchAfter((next, asked) => {
    // A run may be asked to end before it listens.
    const over = new ReplaySubject<void>(1);
    let isOver = false;
    isBroken = false;
    const listening = merge(stop, asked, blind).subscribe(() => { isOver = true; over.next(); });
    return train(next, { stop: over, gone, parent }).pipe(
      catchError((cause: unknown) => {
        const forgiven = forgive(cause);
        if (forgiven === undefined) throw cause;
        isBroken = true;
        say(forgiven.why);
        return forgiven.end === undefined ? EMPTY : of(forgiven.end);
      }),
      tap({
        next: (end) => { parent = end; },
        complete: () => { if (!isOver) say(`waiting for changes in ${root}`); },
      }),
      finalize(() => { listening.unsubscribe(); }),
    );
  }));
  return concat(runs, defer(() => {
    if (failure !== undefined) throw failure.cause;
    return EMPTY;
  }));
});
