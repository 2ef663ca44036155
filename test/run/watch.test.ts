import { NEVER, type Observable, concat, defer, ignoreElements, merge, of, takeUntil, tap, throwError } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { DatasetError } from '../../src/errors.ts';
import { type Rescan, type Turn, watchRuns } from '../../src/run/watch.ts';
import type { FolderChange } from '../../src/streams/watchFolder.ts';
import { type MarbleHelpers, marbles } from '../support.ts';

const changes: Record<string, FolderChange> = { r: { kind: 'changed', paths: [] }, c: { kind: 'changed', paths: ['x.png'] }, d: { kind: 'changed', paths: ['y.png'] }, g: { kind: 'gone' }, b: { kind: 'back' } };

const forgive = (cause: unknown) => (cause instanceof DatasetError ? { end: 'run that lost its files', why: cause.message } : undefined);

/** Watch mode with runs that would go on for `length` and need three more frames to end cleanly; datasets are numbers that count up. */
const watch = ({ cold, hot, now }: MarbleHelpers, marble: string, {
  length = NEVER, rescan = (known) => of({ dataset: known + 1, lines: [`+${known + 1}`], differs: true }), stop = NEVER,
}: { length?: Observable<unknown>; rescan?: (known: number, paths: readonly string[]) => Observable<Rescan<number>>; stop?: Observable<void> } = {}) => {
  const said: string[] = [];
  const say = (text: string): void => { said.push(`${now()} ${text}`); };
  const train = (dataset: number, { stop: asked, gone, parent }: Turn<string>): Observable<string> => defer(() => {
    say(`train ${dataset} from ${parent ?? 'scratch'}`);
    const held = gone.pipe(tap((isGone) => { if (isGone) say(`${dataset} held`); }), ignoreElements(), takeUntil(asked));
    const saved = cold('---(e|)', { e: `run ${dataset}` }).pipe(tap((name) => { say(`${name} saved`); }));
    return concat(merge(held, length.pipe(ignoreElements())).pipe(takeUntil(merge(asked, length.pipe(ignoreElements(), (source) => concat(source, of(0)))))), saved);
  });
  return { said, ends: watchRuns({ root: 'pairs', dataset: 1, changes: hot(marble, changes), rescan, train, forgive, say, stop }) };
};

describe('watchRuns', () => {
  it('ends the run under way, waits until it is saved, and trains anew from it', marbles((helpers) => {
    const { said, ends } = watch(helpers, '-----c-------');
    helpers.expectObservable(ends).toBe('  --------e----', { e: 'run 1' });
    helpers.flush();
    expect(said).toEqual(['0 train 1 from scratch', '5 +2', '8 run 1 saved', '8 train 2 from run 1']);
  }));

  it('lets a run that is through wait for a change', marbles((helpers) => {
    const { said, ends } = watch(helpers, '----------c-------', { length: helpers.cold('--|') });
    helpers.expectObservable(ends).toBe('  -----e---------f-', { e: 'run 1', f: 'run 2' });
    helpers.flush();
    expect(said).toEqual(['0 train 1 from scratch', '5 run 1 saved', '5 waiting for changes in pairs', '10 +2', '10 train 2 from run 1', '15 run 2 saved', '15 waiting for changes in pairs']);
  }));

  it('trains on the last state only, when several changes come while a run is ending', marbles((helpers) => {
    const { said, ends } = watch(helpers, '-----ccc-----');
    helpers.expectObservable(ends).toBe('  --------e----', { e: 'run 1' });
    helpers.flush();
    expect(said.slice(1)).toEqual(['5 +2', '6 +3', '7 +4', '8 run 1 saved', '8 train 4 from run 1']);
  }));

  it('goes on with the run when nothing is different: an incomplete pair is waited for', marbles((helpers) => {
    const { said, ends } = watch(helpers, '-----c-------', { rescan: (known) => of({ dataset: known, lines: ['waiting for the target of x'], differs: false }) });
    helpers.expectObservable(ends).toBe('-');
    helpers.flush();
    expect(said).toEqual(['0 train 1 from scratch', '5 waiting for the target of x']);
  }));

  it('looks once when the watching has begun, and speaks of it only when something changed meanwhile', marbles((helpers) => {
    const quiet = watch(helpers, '-r-----------', { rescan: (known) => of({ dataset: known, lines: ['no file is different'], differs: false }) });
    const missed = watch(helpers, '-r-----------');
    helpers.expectObservable(quiet.ends).toBe('-');
    helpers.expectObservable(missed.ends).toBe('----e----', { e: 'run 1' });
    helpers.flush();
    expect(quiet.said).toEqual(['0 train 1 from scratch']);
    expect(missed.said).toEqual(['0 train 1 from scratch', '1 +2', '4 run 1 saved', '4 train 2 from run 1']);
  }));

  it('tells every rescan what the one before found', marbles((helpers) => {
    const seen: string[] = [];
    const { ends } = watch(helpers, '-----c--d----', { rescan: (known, paths) => { seen.push(`${known} ${paths.join()}`); return helpers.cold('----(r|)', { r: { dataset: known + 10, lines: [], differs: false } }); } });
    helpers.expectObservable(ends).toBe('-');
    helpers.flush();
    expect(seen).toEqual(['1 x.png', '11 y.png']);
  }));

  it('holds the run while the folder is gone, and retrains when it comes back different', marbles((helpers) => {
    const { said, ends } = watch(helpers, '-----g---b---c----');
    helpers.expectObservable(ends).toBe('  ----------------e-', { e: 'run 1' });
    helpers.flush();
    expect(said).toEqual([
      '0 train 1 from scratch', '5 pairs: the folder is gone; paused until it is back', '5 1 held', '9 pairs: the folder is back', '13 +2', '16 run 1 saved', '16 train 2 from run 1',
    ]);
  }));

  it('goes on when the folder comes back as it was', marbles((helpers) => {
    const { said, ends } = watch(helpers, '-----g---b---c----', { rescan: (known) => of({ dataset: known, lines: [], differs: false }) });
    helpers.expectObservable(ends).toBe('-');
    helpers.flush();
    expect(said.slice(1)).toEqual(['5 pairs: the folder is gone; paused until it is back', '5 1 held', '9 pairs: the folder is back', '13 pairs: the dataset is as it was; going on']);
  }));

  it('says what is wrong with a changed dataset, and holds the run until it is mended', marbles((helpers) => {
    const { said, ends } = watch(helpers, '-----c--c-------', {
      rescan: (known) => (helpers.now() < 6 ? throwError(() => new DatasetError('pairs', 'pairs: expected images but found none')) : of({ dataset: known + 1, lines: [], differs: true })),
    });
    helpers.expectObservable(ends).toBe('-----------e----', { e: 'run 1' });
    helpers.flush();
    expect(said.slice(1)).toEqual(['5 paused until this is mended: pairs: expected images but found none', '5 1 held', '11 run 1 saved', '11 train 2 from run 1']);
  }));

  it('trains again, when a run lost its files and the folder comes back as it was', marbles((helpers) => {
    const lost = helpers.cold('------#', undefined, new DatasetError('x', 'x.png: expected an image but found nothing'));
    const { said, ends } = watch(helpers, '-----g---b---c----', { length: lost, rescan: (known) => of({ dataset: known, lines: [], differs: false }) });
    helpers.expectObservable(ends, '^---------------!').toBe('------e---------', { e: 'run that lost its files' });
    helpers.flush();
    expect(said).toEqual([
      '0 train 1 from scratch', '5 pairs: the folder is gone; paused until it is back', '5 1 held', '6 x.png: expected an image but found nothing', '6 waiting for changes in pairs',
      '9 pairs: the folder is back', '13 train 1 from run that lost its files', '13 1 held',
    ]);
  }));

  it('ends with the run when it is stopped, and when it waits', marbles((helpers) => {
    const during = watch(helpers, '--------------', { stop: helpers.hot<void>('-----s') });
    helpers.expectObservable(during.ends).toBe('--------(e|)', { e: 'run 1' });
    const idle = watch(helpers, '--------------', { length: helpers.cold('--|'), stop: helpers.hot<void>('--------s') });
    helpers.expectObservable(idle.ends).toBe('-----e--|', { e: 'run 1' });
    helpers.flush();
    expect(during.said).toEqual(['0 train 1 from scratch', '8 run 1 saved']);
  }));

  it('fails with a run, with the watching, and with what is no fault of the dataset', marbles((helpers) => {
    helpers.expectObservable(watch(helpers, '----------', { length: helpers.cold('---#') }).ends).toBe('---#');
    // The run is saved first.
    helpers.expectObservable(watch(helpers, '---#').ends).toBe('------(e#)', { e: 'run 1' });
    helpers.expectObservable(watch(helpers, '#').ends).toBe('---(e#)', { e: 'run 1' });
    helpers.expectObservable(watch(helpers, '---c', { rescan: () => helpers.cold('#') }).ends).toBe('------(e#)', { e: 'run 1' });
  }));

  it('tells a run that was not listening yet', marbles((helpers) => {
    const { cold, hot, expectObservable } = helpers;
    // The run of dataset 1 makes its folder until frame 4; the change is at frame 2.
    const train = (dataset: number, { stop }: Turn<string>): Observable<string> => (dataset === 1 ? concat(cold<string>('----|'), NEVER.pipe(takeUntil(stop)), of('ended')) : of('next'));
    const ends = watchRuns({ root: 'pairs', dataset: 1, changes: hot('--c', changes), rescan: () => of({ dataset: 2, lines: [], differs: true }), train, forgive, say: () => {}, stop: NEVER });
    expectObservable(ends).toBe('----(en)', { e: 'ended', n: 'next' });
  }));

  it('leaves the run at once when it is unsubscribed', marbles((helpers) => {
    const run = helpers.cold('-----');
    const ends = watchRuns({ root: 'pairs', dataset: 1, changes: NEVER, rescan: () => NEVER, train: () => run, forgive, say: () => {}, stop: NEVER });
    helpers.expectObservable(ends, '^--!').toBe('-');
    helpers.expectSubscriptions(run.subscriptions).toBe('^--!');
  }));
});
