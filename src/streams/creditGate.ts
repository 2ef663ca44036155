import type { Observable, OperatorFunction, MonoTypeOperatorFunction } from 'rxjs';
import type { Batch } from './frames.ts';

/** Where a batch can be, from its names to its end; each moment of a run is spent waiting for one of them. */
export type Stage = 'decode' | 'augment' | 'upload' | 'engine' | 'disk';

/** What a gate has counted since it was subscribed. */
export type GateStats = Readonly<{
  credits: number;
  /** Batches drawn and not yet settled. */
  inFlight: number;
  maxInFlight: number;
  /** Batches that came to their end. */
  settled: number;
  /** Seconds of the run by the stage that held it up; their sum is the time since subscription, pauses left out. */
  seconds: Readonly<Record<Stage, number>>;
  /** Share of that time in which the engine had work, in 0..1. */
  engineBusy: number;
  /** The stage that held the run up longest. */
  bottleneck: Stage;
}>;

export type CreditGate = Readonly<{
  /** Draws one item per credit. */
  pull: <A extends Batch>(source: Iterable<A>) => Observable<A>;
  /** Lets one frame at a time through; the next when `settle` or `drop` saw the last. Its queue must hold no tensors. */
  inTurn: <A extends Batch>() => MonoTypeOperatorFunction<A>;
  /** Times an operator: what a frame spends in it counts as `stage`. */
  stage: <A extends Batch, B extends Batch>(stage: Stage, operator: OperatorFunction<A, B>) => OperatorFunction<A, B>;
  /** Ends a frame's way: passes it on, then returns its credit. */
  settle: <A extends Batch>() => MonoTypeOperatorFunction<A>;
  /** Returns the credit of a frame that will not reach `settle`. */
  drop: (frame: Batch) => void;
  readonly stats: GateStats;
}>;
