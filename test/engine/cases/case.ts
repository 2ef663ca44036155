/** One computation on random inputs: what every executor must agree on, and what its gradient must agree with. */
import type * as tf from '../../../src/tf.ts';
import type { Compute, Input } from '../../support/numeric.ts';

export type Case = Readonly<{
  name: string;
  inputs: readonly Input[];
  run: Compute;
  /** The inputs that it can be differentiated by; none by default. */
  by?: readonly number[];
  /** True when the gradient can be differentiated again. */
  twice?: boolean;
  /** Step of the finite differences, where the default meets a kink or loses too much to rounding. */
  step?: number;
  /** The kernel that our executors lack for it, by name. */
  lacks?: string;
  /** The same by other operations, where tfjs's cpu executor, the oracle, is wrong about `run`. */
  oracle?: Compute;
  /** How far executors may differ, relative to the largest value; 1e-5 by default. `why` says what widens it. */
  tolerance?: Readonly<{ relative: number; why: string }>;
  /** The same on a GPU. */
  gpuTolerance?: Readonly<{ relative: number; why: string }>;
}>;

/** A float32 input. */
export const float = (shape: readonly number[], low?: number, high?: number, gap?: number): Input => ({ shape, ...(low !== undefined && { low }), ...(high !== undefined && { high }), ...(gap !== undefined && { gap }) });
/** An int32 input with values low..high - 1. */
export const int = (shape: readonly number[], low: number, high: number): Input => ({ shape, low, high, dtype: 'int32' });
/** A bool input. */
export const bool = (shape: readonly number[]): Input => ({ shape, dtype: 'bool' });

/** A case that can be differentiated twice by all its float inputs. */
export const smooth = (name: string, inputs: readonly Input[], run: (...inputs: never[]) => tf.Tensor | tf.Tensor[], rest: Partial<Case> = {}): Case => ({
  name, inputs, run: run as Compute, by: inputs.flatMap(({ dtype = 'float32' }, i) => (dtype === 'float32' ? [i] : [])), twice: true, ...rest,
});
/** A case that can be differentiated once by all its float inputs. */
export const once = (name: string, inputs: readonly Input[], run: (...inputs: never[]) => tf.Tensor | tf.Tensor[], rest: Partial<Case> = {}): Case => smooth(name, inputs, run, { twice: false, ...rest });
/** A case without a gradient. */
export const plain = (name: string, inputs: readonly Input[], run: (...inputs: never[]) => tf.Tensor | tf.Tensor[], rest: Partial<Case> = {}): Case => ({ name, inputs, run: run as Compute, ...rest });
