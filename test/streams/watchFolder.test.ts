import { NEVER, type Observable, Subject, concat, from, map, merge, of, take, tap } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import { describe, expect, it } from 'vitest';
import type { FileEvent } from '../../src/streams/fileEvents.ts';
import { type FolderChange, watchFolder } from '../../src/streams/watchFolder.ts';
import { marbles } from '../support.ts';

const events: Record<string, FileEvent> = {
  a: { kind: 'add', path: 'a.png' }, b: { kind: 'change', path: 'b.png' }, c: { kind: 'unlink', path: 'c.png' },
  g: { kind: 'gone', path: 'root' }, k: { kind: 'back', path: 'root' }, r: { kind: 'ready', path: 'root' },
};
const word = (change: FolderChange): string => (change.kind === 'changed' ? change.paths.join(' ') : change.kind);
const still = (): Observable<string> => of('still');

describe('watchFolder', () => {
  it('tells a change when it was quiet and two looks agree', marbles(({ hot, expectObservable, expectSubscriptions }) => {
    const source = hot('   -a-----------c----------------|');
    // Quiet for 3, look; quiet for 3, look again: the same.
    const expected = '     -------a-----------c----------|';
    expectObservable(watchFolder(source.pipe(map(() => events.a as FileEvent)), { look: still, quiet: 3 }).pipe(map(() => 'x'))).toBe(expected.replace(/[ac]/g, 'x'));
    expectSubscriptions(source.subscriptions).toBe('^-----------------------------!');
  }));

  it('makes one change of a storm, and names every file once', marbles(({ hot, expectObservable }) => {
    const source = hot('   -ab-a-c--ab----------------', events);
    const expected = '     ----------------x----------';
    expectObservable(watchFolder(source, { look: still, quiet: 3 }).pipe(map(word))).toBe(expected, { x: 'a.png b.png c.png' });
  }));

  it('makes one change of 10,000 events', () => {
    const scheduler = new TestScheduler(() => {});
    scheduler.run(() => {
      const changes: FolderChange[] = [];
      const storm = from(Array.from({ length: 10_000 }, (_, i): FileEvent => ({ kind: 'add', path: `${i % 5000}.png` })));
      watchFolder(concat(storm, NEVER), { look: still }).subscribe((change) => { changes.push(change); });
      scheduler.flush();
      expect(changes.map((change) => change.kind === 'changed' && change.paths.length)).toEqual([5000]);
    });
  });

  it('waits while a file is being written', marbles(({ hot, expectObservable }) => {
    const looks = ['1 kB', '2 kB', '3 kB', '3 kB', 'never'];
    const source = hot('   -a-----------------------', events);
    const expected = '     -------------x-----------';
    expectObservable(watchFolder(source, { look: () => of(looks.shift() as string), quiet: 3 }).pipe(map(word))).toBe(expected, { x: 'a.png' });
  }));

  it('begins anew with an event during a look that takes long', marbles(({ cold, hot, expectObservable, expectSubscriptions }) => {
    const look = cold('       ----(x|)');
    const source = hot('   -a----b---------------------------', events);
    const expected = '     --------------------x------------';
    expectObservable(watchFolder(source, { look: () => look, quiet: 3 }).pipe(map(word))).toBe(expected, { x: 'a.png b.png' });
    expectSubscriptions(look.subscriptions).toBe(['----^-!', '---------^---!', '----------------^---!']);
  }));

  it('aborts a look that an event made pointless, and no other', marbles(({ cold, hot, expectObservable, flush }) => {
    const signals: AbortSignal[] = [];
    const source = hot('   -a----b------------------------', events);
    const result = watchFolder(source, { look: (_, signal) => { signals.push(signal); return cold('---(x|)').pipe(tap(() => { expect(signal.aborted).toBe(false); })); }, quiet: 3 });
    expectObservable(result.pipe(map(word))).toBe('------------------x', { x: 'a.png b.png' });
    flush();
    expect(signals).toHaveLength(3);
  }));

  it('says at once that the folder is gone and forgets the storm; what comes back is one change', marbles(({ hot, expectObservable }) => {
    const source = hot('   -a--g------k-------------c--------', events);
    const expected = '     ----g------k-----x-------------y--';
    expectObservable(watchFolder(source, { look: still, quiet: 3 }).pipe(map(word))).toBe(expected, { g: 'gone', k: 'back', x: 'root', y: 'c.png' });
  }));

  it('asks for one look when the watching has begun, which names no file unless one changed', marbles(({ hot, expectObservable, flush }) => {
    const looks: string[] = [];
    const states = ['half of it', 'all of it', 'all of it'];
    const look = (paths: readonly string[]): Observable<string> => { looks.push(paths.join()); return of(states.shift() as string); };
    expectObservable(watchFolder(hot('-r------------', events), { look, quiet: 3 }).pipe(map(word))).toBe('----------x---', { x: '' });
    expectObservable(watchFolder(hot('-r-a-------', events), { look: still, quiet: 3 }).pipe(map(word))).toBe('---------x-', { x: 'a.png' });
    expectObservable(watchFolder(hot('-k-r-------', events), { look: still, quiet: 3 }).pipe(map(word))).toBe('-k-------x-', { k: 'back', x: 'root' });
    flush();
    expect(looks).toEqual(['root', 'root', 'root']);
  }));

  it.each([['|', '|'], ['-', '-'], ['-#', '-#'], ['-a|', '-------x|']])('passes on the end of %s', (marble, expected) => {
    marbles(({ cold, expectObservable }) => {
      expectObservable(watchFolder(cold(marble, events), { look: still, quiet: 3 }).pipe(map(word))).toBe(expected.replace('x|', '(x|)'), { x: 'a.png' });
    })();
  });

  it('fails with a look that fails', marbles(({ cold, hot, expectObservable }) => {
    expectObservable(watchFolder(hot('-a', events), { look: () => cold('#'), quiet: 3 })).toBe('----#');
  }));

  it('forgets everything on unsubscription', marbles(({ hot, expectObservable, expectSubscriptions }) => {
    const source = hot('-a---------', events);
    expectObservable(watchFolder(source, { look: still, quiet: 3 }), '^---!').toBe('-');
    expectSubscriptions(source.subscriptions).toBe('^---!');
  }));

  it('can be re-entered: an event that comes of a change is the next change', marbles(({ cold, expectObservable, flush }) => {
    const more = new Subject<FileEvent>();
    const again = tap((change: FolderChange) => { if (change.kind === 'back') more.next({ kind: 'add', path: 'a.png' }); });
    const result = watchFolder(merge(more, cold('k', events)), { look: still, quiet: 3 }).pipe(again, map(word), take(2));
    expectObservable(result).toBe('k-----(x|)', { k: 'back', x: 'a.png root' });
    flush();
    expect(more.observed).toBe(false);
  }));

  it('refuses a quiet time that is none', () => { expect(() => watchFolder(of(), { look: still, quiet: 0 })).toThrow(RangeError); });
});
