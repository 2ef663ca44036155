/** What flows. A frame is one batch on its way through one training step; its type says what it carries at each stage. */
import type { Scalar, Tensor4D } from '../tf.ts';
import type { Stage } from './stageClock.ts';

/** The position and the names of one batch: all that flows freely. */
export type Batch = Readonly<{
  /** Place in the run, from 0; every random draw of the step is a function of (seed, step). */
  step: number;
  /** Passes over the dataset that are complete, from 0. */
  epoch: number;
  /** One name per image: the pair's stem. */
  ids: readonly string[];
}>;

/** A decoded batch: float32 [B, H, W, C] in [-1, 1], source and target under the same geometry. */
export type Pair = Batch & Readonly<{ source: Tensor4D; target: Tensor4D }>;

/** What is said about each pair, one per image; undefined for a pair that nothing is said about. For methods that are conditioned on text. */
export type Prompted = Readonly<{ prompts: readonly (string | undefined)[] }>;

/** Seconds that were spent on a batch beside the stream, on other threads, by stage: the gate divides the time it waited for the batch in these proportions. */
export type Prepared = Readonly<{ spent: Readonly<Partial<Record<Stage, number>>> }>;

/** Scalars of this step that will be reported, by name, such as `generator.l2`. Still tensors: reading them is `settle`'s work. */
export type Measured = Readonly<{ metrics: Readonly<Record<string, Scalar>> }>;

/** A step that has run: plain numbers, no tensors. */
export type Settled = Batch & Readonly<{ metrics: Readonly<Record<string, number>> }>;
