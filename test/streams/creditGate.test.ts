import fc from 'fast-check';
import { NEVER, type Observable, Subject, VirtualTimeScheduler, concatMap, defer, delay, filter, map, merge, mergeMap, of, pipe, take, tap, throwError, timer } from 'rxjs';
import type { RunHelpers } from 'rxjs/testing';
import { describe, expect, it } from 'vitest';
import { type CreditGate, type GateStats, creditGate } from '../../src/streams/creditGate.ts';
import type { Batch } from '../../src/streams/frames.ts';
import { mapTensors } from '../../src/streams/mapTensors.ts';
import { releaseFrames } from '../../src/streams/releaseFrames.ts';
import { type Stage, stages } from '../../src/streams/stageClock.ts';
import * as tf from '../../src/tf.ts';
import { batchAt, leakFree, marbles, steps } from '../support.ts';

const stepOf = ({ step }: Batch): string => `${step}`;

describe('pull and settle', () => {
  it('draws a batch per credit, and one for each credit returned', marbles(({ cold, expectObservable, flush, now }) => {
    const drawn: string[] = [];
    const gate = creditGate(2, { now });
    const result = gate.pull(steps(4)).pipe(
      tap(({ step }) => { drawn.push(`${step} at ${now()}`); }),
      concatMap((batch) => cold('---a|').pipe(map(() => batch))),
      gate.settle(),
      map(stepOf),
    );
    expectObservable(result).toBe('---0---1---2---3|');
    flush();
    expect(drawn).toEqual(['0 at 0', '1 at 0', '2 at 3', '3 at 7']);
    expect(gate.stats).toMatchObject({ inFlight: 0, maxInFlight: 2, settled: 4 });
  }));

  it('ends at once on an empty source', marbles(({ expectObservable }) => {
    const gate = creditGate(2);
    expectObservable(gate.pull([]).pipe(gate.inTurn(), gate.settle())).toBe('|');
  }));

  it('waits when a frame never comes to its end', marbles(({ expectObservable, flush }) => {
    const gate = creditGate(2);
    expectObservable(gate.pull(steps()).pipe(gate.inTurn(), mergeMap(() => NEVER), gate.settle())).toBe('-');
    flush();
    expect(gate.stats).toMatchObject({ inFlight: 2, settled: 0 });
  }));

  it('fails with what the source throws', marbles(({ expectObservable }) => {
    const gate = creditGate(1);
    const names = { * [Symbol.iterator]() { yield batchAt(0); throw new Error('no names'); } };
    expectObservable(gate.pull(names).pipe(gate.settle(), map(stepOf))).toBe('(0#)', undefined, new Error('no names'));
  }));

  it('releases the source and its credits on early unsubscription, and starts anew with the next', marbles(({ cold, expectObservable, flush }) => {
    let released = 0;
    const gate = creditGate(2);
    const names = { * [Symbol.iterator]() { try { for (let step = 0; ; step++) yield batchAt(step); } finally { released++; } } };
    const result = gate.pull(names).pipe(gate.inTurn(), concatMap((batch) => cold('--a|').pipe(map(() => batch))), gate.settle(), map(stepOf));
    expectObservable(result, '^-----!').toBe('--0--1-');
    expectObservable(result, '--------^-----!').toBe('----------0--1-');
    flush();
    expect(released).toBe(2);
  }));

  it('is cut by take over a source and a chain that are synchronous', () => {
    const gate = creditGate(3);
    const names = steps();
    const seen: number[] = [];
    gate.pull(names).pipe(gate.inTurn(), gate.settle(), take(5)).subscribe(({ step }) => { seen.push(step); });
    expect(seen).toEqual([0, 1, 2, 3, 4]);
    expect(names.drawn).toBe(5);
  });

  it('refuses a second subscription while the first is live, a step drawn twice, and a step it does not know', () => {
    const errors: string[] = [];
    const failing = { error: ({ message }: Error) => { errors.push(message); } };
    const gate = creditGate(2);
    const first = gate.pull(steps()).subscribe();
    gate.pull(steps()).subscribe(failing);
    first.unsubscribe();
    gate.pull([batchAt(1), batchAt(1)]).subscribe(failing);
    gate.pull(steps()).pipe(map(() => batchAt(7)), gate.settle()).subscribe(failing);
    expect(errors).toEqual([
      'creditGate: expected one subscription at a time but received a second',
      'creditGate: expected steps to differ but step 1 is drawn twice',
      'creditGate: expected step 7 to be in flight but it was never drawn, or is settled already',
    ]);
  });

  it.each([0, -1, 1.5, NaN])('refuses %d credits', (credits) => {
    expect(() => creditGate(credits)).toThrow(RangeError);
  });
});

describe('inTurn', () => {
  it('admits a frame when the last one is settled, however early others are ready', marbles(({ cold, expectObservable, flush, now }) => {
    const admitted: string[] = [];
    const gate = creditGate(3, { now });
    const result = gate.pull(steps(3)).pipe(
      gate.inTurn(),
      tap(({ step }) => { admitted.push(`${step} at ${now()}`); }),
      mergeMap((batch) => cold('--(a|)').pipe(map(() => batch))),
      gate.settle(),
      map(stepOf),
    );
    expectObservable(result).toBe('--0-1-(2|)');
    flush();
    expect(admitted).toEqual(['0 at 0', '1 at 2', '2 at 4']);
  }));

  it('lets the frames before an error finish first', marbles(({ cold, expectObservable }) => {
    const gate = creditGate(3);
    const result = gate.pull(steps()).pipe(
      map((batch) => { if (batch.step === 2) throw new Error('bad file'); return batch; }),
      gate.inTurn(),
      mergeMap((batch) => cold('--(a|)').pipe(map(() => batch))),
      gate.settle(),
      map(stepOf),
    );
    expectObservable(result).toBe('--0-(1#)', undefined, new Error('bad file'));
  }));

  it('fails at once with what comes after it', marbles(({ expectObservable }) => {
    const gate = creditGate(3);
    expectObservable(gate.pull(steps()).pipe(gate.inTurn(), mergeMap(() => throwError(() => new Error('engine'))), gate.settle())).toBe('#', undefined, new Error('engine'));
  }));

  it('frees what its queue should not have held', leakFree(() => {
    const gate = creditGate(3);
    const subscription = gate.pull(steps()).pipe(map((batch) => ({ ...batch, x: tf.scalar(batch.step) })), gate.inTurn(), releaseFrames()).subscribe();
    subscription.unsubscribe();
  }));
});

describe('pause and stop', () => {
  it('holds draws and admissions while paused; the frame under way goes on', marbles(({ cold, expectObservable, now }) => {
    const paused = cold('f--t------f', { f: false, t: true });
    const gate = creditGate(2, { paused, now });
    const names = steps();
    const result = gate.pull(names).pipe(gate.inTurn(), mergeMap((batch) => cold('--(a|)').pipe(map(() => batch))), gate.settle(), map(stepOf));
    expectObservable(result, '^-------------!').toBe('--0-1-------2-');
  }));

  it('on a stop finishes the frame under way, forgets those behind it and completes', marbles(({ cold, hot, expectObservable, flush, now }) => {
    const gate = creditGate(3, { stop: hot('---s'), now });
    const released: number[] = [];
    const result = gate.pull(steps()).pipe(
      concatMap((batch) => of(batch).pipe(delay(1))),
      gate.inTurn(),
      mergeMap((batch) => cold('-----(a|)').pipe(map(() => batch))),
      gate.settle(),
      map((batch) => { released.push(batch.step); return stepOf(batch); }),
    );
    expectObservable(result).toBe('------(0|)');
    flush();
    expect(gate.stats.inFlight).toBe(0);
  }));

  it('stops at once when nothing is under way, even before it began', marbles(({ hot, expectObservable }) => {
    const waiting = creditGate(3, { stop: hot('---s') });
    expectObservable(waiting.pull(steps()).pipe(mergeMap(() => NEVER), waiting.inTurn<Batch>(), waiting.settle())).toBe('---|');
    const never = creditGate(3, { stop: of(true) });
    const names = steps();
    expectObservable(never.pull(names).pipe(never.inTurn(), never.settle())).toBe('|');
    expect(names.drawn).toBe(0);
  }));

  it('obeys a stop that the frame under way itself gives, and loses no tensor', leakFree(() => {
    const stop = new Subject<void>();
    const gate = creditGate(3, { stop });
    const seen: number[] = [];
    let completed = false;
    gate.pull(steps()).pipe(
      gate.inTurn(),
      mapTensors('upload', (batch: Batch) => ({ ...batch, x: tf.scalar(batch.step) })),
      tap(({ step }) => { if (step === 4) stop.next(); }),
      releaseFrames(),
      gate.settle(),
    ).subscribe({ next: ({ step }) => { seen.push(step); }, complete: () => { completed = true; } });
    expect(seen).toEqual([0, 1, 2, 3, 4]);
    expect(completed).toBe(true);
  }));

  it('stops while paused', marbles(({ cold, hot, expectObservable }) => {
    const gate = creditGate(2, { paused: cold('f-t', { f: false, t: true }), stop: hot('-----s') });
    const result = gate.pull(steps()).pipe(gate.inTurn(), mergeMap((batch) => cold('---a|').pipe(map(() => batch))), gate.settle(), map(stepOf));
    expectObservable(result).toBe('---0-|');
  }));
});

describe('between', () => {
  type Cold = RunHelpers['cold'];
  /** Frames that take three each. */
  const chain = (cold: Cold, gate: CreditGate, count = 3): Observable<string> => gate.pull(steps(count)).pipe(
    gate.inTurn(), mergeMap((batch) => cold('---(a|)').pipe(map(() => batch))), gate.settle(), map(stepOf));
  /** Asks for work at a time. */
  const at = <T>(time: number, gate: CreditGate, work: Observable<T>): Observable<T> => timer(time).pipe(mergeMap(() => gate.between(work)));

  it('waits for the frame under way, and the next waits for it', marbles(({ cold, expectObservable, expectSubscriptions, now }) => {
    const gate = creditGate(2, { now });
    const work = cold('--w--|');
    expectObservable(chain(cold, gate)).toBe('---0-------1--(2|)');
    expectObservable(at(1, gate, work)).toBe('-----w--|');
    expectSubscriptions(work.subscriptions).toBe('---^----!');
  }));

  it('begins at once while nothing is under way, also while paused, and what goes on meanwhile waits', marbles(({ cold, hot, expectObservable, flush, now }) => {
    const paused = hot('-p-----g', { p: true, g: false });
    const gate = creditGate(2, { paused, now });
    expectObservable(chain(cold, gate, 2)).toBe('---0-----------(1|)');
    expectObservable(at(5, gate, cold('---w---|'))).toBe('--------w---|');
    flush();
    // The engine's time, paused or not.
    expect(gate.stats.seconds.engine).toBeCloseTo(0.007, 9);
  }));

  it('takes turns', marbles(({ cold, expectObservable }) => {
    const gate = creditGate(2);
    expectObservable(chain(cold, gate, 2)).toBe('---0------(1|)');
    expectObservable(at(1, gate, cold('-v-|'))).toBe('----v-|');
    expectObservable(at(2, gate, cold('w|'))).toBe('------w|');
    expectObservable(at(8, gate, of('x'))).toBe('----------(x|)');
  }));

  it.each([['while it waits', 1], ['while it is under way', 5]])('comes before the end of a run that is stopped, %s', (_, time) => {
    marbles(({ cold, hot, expectObservable }) => {
      const gate = creditGate(2, { stop: hot(`${'-'.repeat(time)}s`) });
      expectObservable(chain(cold, gate)).toBe('---0----|');
      expectObservable(at(1, gate, cold('-----|'))).toBe('--------|');
    })();
  });

  it('fails with its work, and lets nothing through any more', marbles(({ cold, expectObservable }) => {
    const gate = creditGate(2);
    expectObservable(merge(chain(cold, gate), at(1, gate, cold('-#', {}, new Error('no memory'))))).toBe('---0#', { 0: '0' }, new Error('no memory'));
  }));

  it('is forgotten when whoever asked leaves before its turn', marbles(({ cold, expectObservable, expectSubscriptions }) => {
    const gate = creditGate(2);
    const work = cold('--w--|');
    expectObservable(chain(cold, gate)).toBe('---0--1--(2|)');
    expectObservable(at(1, gate, work), '^-!').toBe('---');
    expectSubscriptions(work.subscriptions).toBe([]);
  }));

  it('is dropped with the run', marbles(({ cold, expectObservable, expectSubscriptions }) => {
    const gate = creditGate(2);
    const work = cold('--w--|');
    expectObservable(merge(chain(cold, gate), at(1, gate, work)), '^-----!').toBe('---0-w-');
    expectSubscriptions(work.subscriptions).toBe('---^--!');
  }));

  it('is never beside a frame, and loses neither, whatever the timing', () => {
    fc.assert(fc.property(fc.array(fc.nat(9), { minLength: 1, maxLength: 20 }), fc.array(fc.tuple(fc.nat(60), fc.nat(9)), { maxLength: 10 }), (frames, works) => {
      const scheduler = new VirtualTimeScheduler();
      const gate = creditGate(2, { now: () => scheduler.now() });
      let [busy, most, done] = [0, 0, 0];
      const seen: number[] = [];
      const lasting = <T>(value: T, time: number): Observable<T> => defer(() => { most = Math.max(most, ++busy); return of(value).pipe(delay(time, scheduler), tap(() => { busy--; })); });
      let ended = false;
      gate.pull(steps(frames.length)).pipe(gate.inTurn(), concatMap((batch) => lasting(batch, frames[batch.step] as number)), gate.settle()).subscribe({ next: ({ step }) => { seen.push(step); }, complete: () => { ended = true; } });
      const asked = works.filter(([time]) => time < frames.reduce((sum, length) => sum + length, 0));
      for (const [time, length] of asked) timer(time, scheduler).pipe(mergeMap(() => gate.between(lasting(0, length)))).subscribe(() => { done++; });
      scheduler.flush();
      expect([most, done, seen, ended]).toEqual([1, asked.length, frames.map((_, step) => step), true]);
    }));
  });
});

describe('stats', () => {
  const timed = (decode: number, engine: number, count = 20): ReturnType<typeof creditGate> => {
    const scheduler = new VirtualTimeScheduler();
    const gate = creditGate(2, { now: () => scheduler.now() });
    gate.pull(steps(count)).pipe(
      concatMap((batch) => of(batch).pipe(delay(decode, scheduler))),
      gate.inTurn(),
      gate.stage('engine', concatMap((batch) => of(batch).pipe(delay(engine, scheduler)))),
      gate.stage('disk', concatMap((batch) => of(batch).pipe(delay(1, scheduler)))),
      gate.settle(),
    ).subscribe();
    scheduler.flush();
    return gate;
  };

  it('says how long the engine waited, and for what', () => {
    // Decoding runs beside the engine: of each 100 ms the engine and the disk cover 11.
    const slow = timed(100, 10).stats;
    expect(slow.bottleneck).toBe('decode');
    expect(slow.seconds.engine).toBeCloseTo(0.2, 6);
    expect(slow.seconds.disk).toBeCloseTo(0.02, 6);
    expect(slow.engineBusy).toBeCloseTo(0.2 / 2.011, 6);
    const fed = timed(10, 100).stats;
    expect(fed.bottleneck).toBe('engine');
    expect(fed.engineBusy).toBeCloseTo(2 / (2 + 0.02 + 0.01), 6);
  });

  /** A line of fakes: threads that prepare batches one after the other, and what follows; milliseconds by stage. `read` is the threads' share of `disk`. */
  const line = (times: Partial<Record<Stage, number>> & { read?: number }, count = 30): GateStats => {
    const scheduler = new VirtualTimeScheduler();
    const gate = creditGate(3, { now: () => scheduler.now() });
    const takes = <A>(time = 1) => concatMap((frame: A) => of(frame).pipe(delay(time, scheduler)));
    const { decode = 1, augment = 1, read = 0 } = times;
    const prepare = pipe(takes<Batch>(decode + augment + read), map((batch: Batch) => ({ ...batch, spent: { decode: decode / 1000, augment: augment / 1000, disk: read / 1000 } })));
    gate.pull(steps(count)).pipe(prepare, gate.inTurn(), takes(times.upload), gate.stage('engine', takes(times.engine)), gate.stage('disk', takes(times.disk)), gate.settle()).subscribe();
    scheduler.flush();
    return gate.stats;
  };

  it.each(stages)('names %s when it is slow', (stage) => {
    const { bottleneck, seconds, engineBusy } = line({ [stage]: 50 });
    expect(bottleneck).toBe(stage);
    expect(engineBusy > 0.9).toBe(stage === 'engine');
    // Each of the thirty steps waits for the slow stage; what is prepared beside the others is not waited for, but for the first batch.
    const [beside, others] = stage === 'decode' || stage === 'augment' ? [51 * 30 - 3 * 29, 0.003 * 30] : [2, 0.052 * 30];
    expect(seconds.decode + seconds.augment).toBeCloseTo(beside / 1000, 9);
    expect(seconds.upload + seconds.engine + seconds.disk).toBeCloseTo(others, 9);
    if (stage === 'decode' || stage === 'augment') expect(seconds[stage] / (seconds.decode + seconds.augment)).toBeCloseTo(50 / 51, 9);
  });

  it('counts the reading of files as disk, and divides a wait as the threads spent their time', () => {
    const slow = line({ read: 60, augment: 30, decode: 10, engine: 50 });
    expect(slow.bottleneck).toBe('disk');
    const waited = 0.1 * 30 - 0.052 * 29;
    expect(slow.seconds.augment).toBeCloseTo(0.3 * waited, 9);
    expect(slow.seconds.decode).toBeCloseTo(0.1 * waited, 9);
    expect(slow.seconds.disk).toBeCloseTo(0.6 * waited + 0.001 * 30, 9);
  });

  it('leaves pauses out', () => {
    const scheduler = new VirtualTimeScheduler();
    const paused = new Subject<boolean>();
    const gate = creditGate(1, { paused, now: () => scheduler.now() });
    gate.pull(steps()).pipe(concatMap((batch) => of(batch).pipe(delay(10, scheduler))), gate.settle(), take(3)).subscribe();
    timer(5, scheduler).subscribe(() => { paused.next(true); });
    timer(1005, scheduler).subscribe(() => { paused.next(false); });
    scheduler.flush();
    // Ten of each step's ten milliseconds, but for the five of the first that passed while paused and the time it lay ready.
    expect(gate.stats.seconds.decode).toBeCloseTo(0.025, 6);
  });
});

describe('what holds for every timing', () => {
  it('never has more batches than credits, and settles all in order', () => {
    fc.assert(fc.property(
      fc.integer({ min: 1, max: 5 }), fc.array(fc.tuple(fc.nat(20), fc.nat(20), fc.boolean()), { minLength: 1, maxLength: 60 }), fc.boolean(), (credits, timings, parallel) => {
        const scheduler = new VirtualTimeScheduler();
        const gate = creditGate(credits, { now: () => scheduler.now() });
        const later = (time: number) => <A>(item: A): Observable<A> => (time === 0 ? of(item) : of(item).pipe(delay(time, scheduler)));
        let [live, most, inside] = [0, 0, 0];
        const settled: number[] = [];
        const times = (step: number): readonly [number, number, boolean] => timings[step] as [number, number, boolean];
        gate.pull(steps(timings.length)).pipe(
          tap(() => { live++; most = Math.max(most, live); }),
          (parallel ? mergeMap : concatMap)((batch: Batch) => later(times(batch.step)[0])(batch)),
          // Every third or so is dropped between decode and engine.
          filter((batch: Batch) => { if (times(batch.step)[2]) return true; live--; gate.drop(batch); return false; }),
          gate.inTurn(),
          tap(() => { inside++; expect(inside).toBe(1); }),
          mergeMap((batch) => later(times(batch.step)[1])(batch)),
          tap(() => { inside--; live--; }),
          gate.settle(),
        ).subscribe(({ step }) => { settled.push(step); });
        scheduler.flush();
        const kept = timings.flatMap(([, , keep], step) => (keep ? [step] : []));
        expect(most).toBeLessThanOrEqual(credits);
        expect(gate.stats.maxInFlight).toBeLessThanOrEqual(credits);
        expect(live).toBe(0);
        expect(gate.stats).toMatchObject({ inFlight: 0, settled: timings.length });
        expect(parallel ? settled.toSorted((a, b) => a - b) : settled).toEqual(kept);
      }), { numRuns: 300 });
  });

  it('holds memory flat over 5,000 batches with a consumer ten times slower than the producer', async () => {
    const credits = 3;
    const scheduler = new VirtualTimeScheduler();
    const gate = creditGate(credits, { now: () => scheduler.now() });
    let [live, most, settled] = [0, 0, 0];
    const bytes: number[] = [];
    const before = tf.memory().numTensors;
    gate.pull(steps(5000)).pipe(
      tap(() => { live++; most = Math.max(most, live); }),
      concatMap((batch) => of({ ...batch, pixels: new Float32Array(16 * 1024) }).pipe(delay(1, scheduler))),
      gate.inTurn(),
      map(({ pixels, ...batch }) => ({ ...batch, source: tf.tensor1d(pixels) })),
      concatMap((frame) => of(frame).pipe(delay(10, scheduler))),
      releaseFrames(),
      gate.settle(),
    ).subscribe(() => {
      live--;
      settled++;
      expect(tf.memory().numTensors).toBe(before);
      if (settled % 500 === 0) { globalThis.gc?.(); bytes.push(process.memoryUsage().arrayBuffers); }
    });
    scheduler.flush();
    expect({ settled, most, maxInFlight: gate.stats.maxInFlight }).toEqual({ settled: 5000, most: credits, maxInFlight: credits });
    // 5,000 batches of 64 KiB would be 320 MiB; what is left is garbage not yet collected.
    expect(Math.max(...bytes.slice(1)) - (bytes[1] as number)).toBeLessThan(64 * 2 ** 20);
  });

  it.each([
    ['all at once', (): ReturnType<typeof pipe<Observable<Batch>, Observable<Batch>>> => pipe(map((batch: Batch) => batch))],
    ['decoded by promises', () => pipe(concatMap((batch: Batch) => Promise.resolve(batch)))],
  ])('does not grow the stack over 100,000 frames: %s', async (_name, decode) => {
    const gate = creditGate(3);
    let settled = 0;
    await new Promise<void>((resolve, reject) => {
      gate.pull(steps(100_000)).pipe(decode(), gate.inTurn(), gate.stage('engine', map((batch: Batch) => batch)), gate.settle()).subscribe({
        next: () => { settled++; },
        error: reject,
        complete: resolve,
      });
    });
    expect(settled).toBe(100_000);
  });

  it('does not grow the stack when a pause ends over a full queue', () => {
    const paused = new Subject<boolean>();
    const gate = creditGate(3, { paused });
    let settled = 0;
    gate.pull(steps(100_000)).pipe(gate.inTurn(), tap(({ step }) => { if (step === 5) paused.next(true); }), gate.settle()).subscribe(() => { settled++; });
    expect(settled).toBe(6);
    paused.next(false);
    expect(settled).toBe(100_000);
  });
});
