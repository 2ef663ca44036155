import {
  EMPTY, type MonoTypeOperatorFunction, NEVER, Observable, type OperatorFunction, Subject, catchError, concat, defer, endWith, finalize, ignoreElements,
  merge, mergeMap, of, pipe, takeUntil, tap,
} from 'rxjs';
import type { Batch, Prepared } from './frames.ts';
import { tensorsOf } from './mapTensors.ts';
import { type Stage, bottleneckOf, stageClock } from './stageClock.ts';

/** What a gate has counted since it was subscribed. */
export type GateStats = Readonly<{
  credits: number;
  /** Batches drawn and not yet settled. */
  inFlight: number;
  maxInFlight: number;
  /** Batches that came to their end. */
  settled: number;
  /** Seconds of the run by the stage it waited for; their sum is the time since subscription, pauses left out. */
  seconds: Readonly<Record<Stage, number>>;
  /** Share of that time in which the engine had work, in 0..1. */
  engineBusy: number;
  /** `engine` where it had work nearly all the time, otherwise the stage it waited for longest. */
  bottleneck: Stage;
}>;

export type CreditGate = Readonly<{
  /**
   * Draws one item of `source` per credit; a frame counts as `decode` from here on.
   * Timing draws while credits are left, synchronously; ends with the source, or at once when the run is stopped.
   */
  pull: <A extends Batch>(source: Iterable<A>) => Observable<A>;
  /**
   * Lets one frame at a time through (it counts as `upload` from here on); the next when `settle` or `drop` saw the last. Its queue must hold no tensors.
   * Where a frame says what was `spent` on it, the time waited for it belongs to these stages, in their proportions.
   * Timing ends, or fails, with its source, once the frames before are settled. On a stop the queue is emptied, and the stream ends when the frame
   * under way is settled.
   */
  inTurn: <A extends Batch & Partial<Prepared>>() => MonoTypeOperatorFunction<A>;
  /** From this operator on a frame counts as `stage`. */
  stage: <A extends Batch, B>(stage: Stage, operator: OperatorFunction<A, B>) => OperatorFunction<A, B>;
  /** Ends a frame's way: passes it on, then returns its credit. Carries out pauses and stops for the gate, so it belongs in every chain. */
  settle: <A extends Batch>() => MonoTypeOperatorFunction<A>;
  /**
   * Does `work` between two frames: at once when none is under way, paused or not, else after the one that is. The next frame, or the end, waits for it.
   * Timing that of `work`, once its turn has come; works that wait have their turns in order.
   */
  between: <T>(work: Observable<T>) => Observable<T>;
  /** Returns the credit of a frame that will not reach `settle`. */
  drop: (frame: Batch) => void;
  readonly stats: GateStats;
}>;

/**
 * Backpressure by credits: between `pull` and `settle` there are never more than `credits` batches.
 *
 * Works for one subscription at a time; what it counts starts anew with each. No chain, however synchronous, grows the stack: whoever returns a credit
 * inside a running loop leaves the work to that loop.
 * @param credits batches in flight; 2 to 4 keep an engine fed
 * @param options.paused while its last value is true nothing is drawn and nothing let through
 * @param options.stop ends the stream after the frame under way
 * @param options.now milliseconds on a clock that does not go back
 * @throws RangeError when `credits` is not a positive integer
 */
export function creditGate(credits: number, { paused = of(false), stop = NEVER, now = () => performance.now() }: {
  paused?: Observable<boolean>; stop?: Observable<unknown>; now?: () => number;
} = {}): CreditGate {
  if (!Number.isInteger(credits) || credits < 1) throw new RangeError(`creditGate: expected credits to be a positive integer but received ${credits}`);
  const frames = new Map<number, Stage>();
  let clock = stageClock(now);
  let admitted: number | undefined;
  let [held, stopped, drawing, maxInFlight, settled] = [false, false, false, 0, 0];
  let [draw, admit] = [(): void => {}, (): void => {}];
  // What waits to be done between two frames, and what is being done.
  const waiting = new Set<() => void>();
  let doing: (() => void) | undefined;

  // The frame under way holds the run up; without one, the oldest of those on their way to it does.
  const tick = (): void => {
    const [oldest = 'decode'] = frames.values();
    if (doing !== undefined) clock.enter('engine');
    else clock.enter(held ? undefined : (admitted === undefined ? oldest : frames.get(admitted)));
  };
  /** Runs `turn` until it says false; calls from inside it are left to the loop that is running. */
  const loop = (turn: () => boolean): (() => void) => {
    let running = false;
    return () => {
      if (running) return;
      running = true;
      try { while (turn()); } finally { running = false; }
    };
  };
  const drop = ({ step }: Batch): void => {
    if (!frames.delete(step)) throw new RangeError(`creditGate: expected step ${step} to be in flight but it was never drawn, or is settled already`);
    if (admitted === step) admitted = undefined;
    settled++;
    admit();
    draw();
    tick();
  };
  const pull = <A extends Batch>(source: Iterable<A>): Observable<A> => new Observable((subscriber) => {
    if (drawing) throw new TypeError('creditGate: expected one subscription at a time but received a second');
    const items = source[Symbol.iterator]();
    frames.clear();
    waiting.clear();
    doing = undefined;
    [clock, admitted, drawing, maxInFlight, settled] = [stageClock(now), undefined, true, 0, 0];
    tick();
    draw = loop(() => {
      if (stopped) subscriber.complete();
      if (held || frames.size >= credits || subscriber.closed) return false;
      try {
        const { done, value } = items.next();
        if (done) { subscriber.complete(); return false; }
        if (frames.has(value.step)) throw new RangeError(`creditGate: expected steps to differ but step ${value.step} is drawn twice`);
        frames.set(value.step, 'decode');
        maxInFlight = Math.max(maxInFlight, frames.size);
        tick();
        subscriber.next(value);
        return true;
      } catch (cause) {
        subscriber.error(cause);
        return false;
      }
    });
    subscriber.add(() => { drawing = false; draw = () => {}; items.return?.(); });
    draw();
  });

  const inTurn = <A extends Batch & Partial<Prepared>>(): MonoTypeOperatorFunction<A> => (source) => defer(() => {
    const queue: A[] = [];
    const out = new Subject<A>();
    let end: (() => void) | undefined;
    const empty = (each: (frame: A) => void): void => {
      for (const frame of queue.splice(0)) { for (const tensor of tensorsOf(frame)) tensor.dispose(); each(frame); }
    };
    admit = loop(() => {
      if (stopped) { end = () => out.complete(); empty(drop); }
      if (admitted !== undefined || doing !== undefined) return false;
      const [work] = waiting;
      if (work !== undefined) { work(); return true; }
      const frame = held ? undefined : queue.shift();
      if (frame === undefined) {
        if (queue.length === 0) end?.();
        return false;
      }
      admitted = frame.step;
      frames.set(frame.step, 'upload');
      tick();
      out.next(frame);
      return true;
    });
    const arrivals = source.pipe(
      tap({
        next: (frame) => { clock.divide('decode', frame.spent ?? {}); queue.push(frame); admit(); },
        error: (cause) => { end = () => out.error(cause); admit(); },
        complete: () => { end = () => out.complete(); admit(); },
      }),
      ignoreElements(),
      catchError(() => EMPTY),
    );
    const over = out.pipe(ignoreElements(), endWith(undefined));
    return merge(out, arrivals.pipe(takeUntil(over))).pipe(finalize(() => { empty(() => {}); admit = () => {}; }));
  });

  const settle = <A extends Batch>(): MonoTypeOperatorFunction<A> => (source) => defer(() => {
    [held, stopped] = [false, false];
    // One subscription each: with two, an order given while another is being carried out would reach them in different sequences.
    const orders = stop.subscribe(() => { stopped = true; admit(); draw(); });
    orders.add(paused.subscribe((value) => { held = value; tick(); admit(); draw(); }));
    return source.pipe(
      mergeMap((frame) => concat(of(frame), defer(() => { drop(frame); return EMPTY; }))),
      finalize(() => { orders.unsubscribe(); clock.enter(undefined); }),
    );
  });

  const between = <T>(work: Observable<T>): Observable<T> => new Observable((subscriber) => {
    const begin = (): void => {
      waiting.delete(begin);
      doing = begin;
      tick();
      const over = defer(() => { doing = undefined; tick(); admit(); return EMPTY; });
      subscriber.add(concat(work, over).subscribe(subscriber));
    };
    waiting.add(begin);
    // Whoever leaves early, with the whole run as a rule, lets nothing through any more.
    subscriber.add(() => { waiting.delete(begin); if (doing === begin) doing = undefined; });
    admit();
  });

  return {
    pull,
    inTurn,
    settle,
    between,
    drop,
    stage: (stage, operator) => pipe(tap(({ step }) => { if (frames.has(step)) { frames.set(step, stage); tick(); } }), operator),
    get stats() {
      const seconds = clock.seconds();
      const total = Object.values(seconds).reduce((a, b) => a + b, 0);
      return { credits, inFlight: frames.size, maxInFlight, settled, seconds, engineBusy: total > 0 ? seconds.engine / total : 0, bottleneck: bottleneckOf(seconds) };
    },
  };
}
