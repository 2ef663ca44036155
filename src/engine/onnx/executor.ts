/** What runs graphs for the lazy backend. Calls are carried out in the order they are made. */
import type { Numbers, Spec, Stored } from './value.ts';

export type Executor = Readonly<{
  /** The device in words. */
  device: string;
  /** Makes a session of a model. A failure shows when it is run. */
  compile: (plan: number, model: Uint8Array) => void;
  /** Frees a session once the runs before have ended. */
  release: (plan: number) => void;
  /** Memory for a result. */
  allocate: (spec: Spec) => Stored;
  /** Memory that holds given numbers. */
  upload: (spec: Spec, numbers: Numbers) => Stored;
  /** Runs a plan; results are written to `results` in order, of the given specs. */
  run: (plan: number, feeds: readonly Readonly<{ stored: Stored; spec: Spec }>[], results: readonly Readonly<{ stored: Stored; spec: Spec }>[]) => Promise<void>;
  /** A copy of stored numbers, once the runs before have ended. */
  download: (stored: Stored, spec: Spec) => Promise<Numbers>;
  /** The same at once, where the JS thread can see the memory. Only for values whose run has ended. */
  peek: (stored: Stored, spec: Spec) => Numbers | undefined;
  /** Gives memory back; runs that were asked for before may still use it. */
  free: (stored: Stored) => void;
  dispose: () => void;
}>;
