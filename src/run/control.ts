import { type Observable, BehaviorSubject, Subject } from 'rxjs';

/** What a person, or another program, asks of a run. */
export type Control = Readonly<{
  /** Whether the run is held; says the present state on subscription. */
  paused: Observable<boolean>;
  /** Draw a sample strip after this step. */
  sample: Observable<void>;
  /** Save a checkpoint after this step. */
  save: Observable<void>;
  /** Finish the step, save and end; repeats itself to late subscribers. */
  stop: Observable<void>;
}>;

/** A `Control` and the hands that work it. */
export type ControlPanel = Control & Readonly<{
  pause: () => void;
  resume: () => void;
  requestSample: () => void;
  requestSave: () => void;
  requestStop: () => void;
}>;
