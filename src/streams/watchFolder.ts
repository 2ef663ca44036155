import { type Observable, type ObservableInput, type SchedulerLike, asyncScheduler, concat, defer, filter, finalize, from, map, of, repeat, switchMap, take, timer } from 'rxjs';
import type { FileEvent } from './fileEvents.ts';

/** What has become of a folder since the last word. */
export type FolderChange =
  /** Files were added, changed or removed; a folder among the paths stands for all that is in it. Without paths something may have, before it was watched. */
  | Readonly<{ kind: 'changed'; paths: readonly string[] }>
  | Readonly<{ kind: 'gone' }>
  | Readonly<{ kind: 'back' }>;

/**
 * Turns the events of a folder into changes that have settled. A storm of events is one change: it is over when no event came for `quiet` milliseconds and
 * two looks at the files in question, `quiet` apart, found the same. So a file that is still being written is seen by its growing size or changing hash.
 * A folder that comes back is one change, of everything in it, and so is, without paths, the time before the watching began.
 *
 * Timing one `changed` for each storm; `gone` and `back` at once; `gone` forgets a storm. Ends with `events` and the storm under way, fails with `events` or a look.
 * @param events see `fileEvents`
 * @param options.look tells the state of some files: equal words for equal bytes; see `fileStates`. Its signal aborts when an event makes it pointless.
 * @param options.quiet milliseconds
 * @throws RangeError when `quiet` is not positive
 */
export function watchFolder(events: Observable<FileEvent>, { look, quiet = 500, scheduler = asyncScheduler }: {
  look: (paths: readonly string[], signal: AbortSignal) => ObservableInput<string>; quiet?: number; scheduler?: SchedulerLike;
}): Observable<FolderChange> {
  if (!(quiet > 0)) throw new RangeError(`watchFolder: expected quiet to be positive but received ${quiet}`);
  return defer(() => {
    const pending = new Set<string>();
    // A folder that was not watched until now: it too has to be still.
    let unseen: string | undefined;
    const settled = defer(() => {
      let last: string | undefined;
      return timer(quiet, scheduler).pipe(
        switchMap(() => {
          const control = new AbortController();
          return from(look([...pending, ...(unseen === undefined ? [] : [unseen])], control.signal)).pipe(finalize(() => { control.abort(); }));
        }),
        filter((state) => { const same = state === last; last = state; return same; }),
        repeat(),
        take(1),
        map((): FolderChange => {
          const paths = [...pending].toSorted();
          pending.clear();
          unseen = undefined;
          return { kind: 'changed', paths };
        }),
      );
    });
    return events.pipe(switchMap(({ kind, path }): Observable<FolderChange> => {
      if (kind === 'gone') { pending.clear(); unseen = undefined; return of({ kind }); }
      if (kind === 'ready') unseen = path;
      else pending.add(path);
      return kind === 'back' ? concat(of({ kind }), settled) : settled;
    }));
  });
}
