import { stat } from 'node:fs/promises';
import { watch } from 'chokidar';
import { Observable, type Subscription, concatMap, distinctUntilChanged, from, map, switchMap, timer } from 'rxjs';
import { DatasetError } from '../errors.ts';

/**
 * What happened under a watched folder. `gone` and `back` speak of the folder itself; `ready` says that changes are seen from now on: those between the
 * reading of the folder and this moment were not.
 */
export type FileEvent = Readonly<{ kind: 'add' | 'change' | 'unlink' | 'gone' | 'back' | 'ready'; path: string }>;

/** The error a person can act on: limits of the system are named with the way to raise them. */
export const watchError = (root: string, cause: NodeJS.ErrnoException): DatasetError => {
  const way = 'or set CHOKIDAR_USEPOLLING=1 to look at the files every now and then instead';
  if (cause.code === 'ENOSPC') {
    return new DatasetError(root, `${root}: the system's limit of watched files (inotify) is reached; raise it with `
      + `"sudo sysctl fs.inotify.max_user_watches=524288" (to keep it: a line fs.inotify.max_user_watches=524288 in /etc/sysctl.d/), ${way}`, cause);
  }
  if (cause.code === 'EMFILE') {
    return new DatasetError(root, `${root}: the system's limit of watchers (inotify instances or open files) is reached; raise it with `
      + `"sudo sysctl fs.inotify.max_user_instances=512" or "ulimit -n 65536", ${way}`, cause);
  }
  return new DatasetError(root, `${root}: cannot be watched: ${cause.message}`, cause);
};

const exists = (path: string): Promise<boolean> => stat(path).then((info) => info.isDirectory(), () => false);

const chokidarEvents = (root: string, ignored: (path: string) => boolean): Observable<FileEvent> => new Observable((subscriber) => {
  const watcher = watch(root, { ignoreInitial: true, ignored: (path) => path !== root && ignored(path) });
  watcher.on('all', (kind, path) => { if (kind === 'add' || kind === 'change' || kind === 'unlink') subscriber.next({ kind, path }); });
  watcher.on('ready', () => { subscriber.next({ kind: 'ready', path: root }); });
  watcher.on('error', (cause) => { subscriber.error(watchError(root, cause as NodeJS.ErrnoException)); });
  return () => { void watcher.close(); };
});

/**
 * Events of the files under a folder. The folder itself may go and come back: it is looked for every now and then, and watched anew when it is back.
 *
 * Timing asynchronous, in the system's order; never ends by itself; fails with a DatasetError where the system cannot watch any more files.
 * @param root absolute path
 * @param options.ignored files and folders that are none of the dataset's
 * @param options.every milliseconds between looks at the folder itself
 */
export const fileEvents = (root: string, { ignored = () => false, every = 1000 }: { ignored?: (path: string) => boolean; every?: number } = {}): Observable<FileEvent> =>
  timer(0, every).pipe(
    concatMap(() => from(exists(root))),
    distinctUntilChanged(),
    map((present, index) => ({ present, first: index === 0 })),
    switchMap(({ present, first }) => new Observable<FileEvent>((subscriber) => {
      if (!present) subscriber.next({ kind: 'gone', path: root });
      else if (!first) subscriber.next({ kind: 'back', path: root });
      const inner: Subscription | undefined = present ? chokidarEvents(root, ignored).subscribe(subscriber) : undefined;
      return inner;
    })),
  );
