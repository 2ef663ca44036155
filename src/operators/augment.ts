import { type OperatorFunction, map } from 'rxjs';
import { type Augmentation, type Plan, drawPlan } from '../data/augmentations/augmentation.ts';
import { type Key, fold } from '../random.ts';
import type { Batch } from '../streams/frames.ts';

/** What will be done to each pair of a batch when it is decoded. */
export type Planned = Readonly<{
  plans: readonly Plan[];
  /** How many times larger a detail may become at any step: constant for a run, since it decides what a decoder keeps. */
  magnifies: number;
}>;

/**
 * Plans variations of each pair: one map for source and target together, and their colours. Nothing is decoded yet; `decodePairs` carries the plan out, all of
 * its geometry as one resampling.
 *
 * Reads  step, ids
 * Adds   plans      one per image, a pure function of (key, step, place in the batch)
 *        magnifies  product over the augmentations
 * Timing one frame out for each frame in, synchronously; ends and fails with its source.
 * @param key draws the plans
 * @param augmentations are done in this order; none leaves the images as they are
 * @throws TypeError when something else than an augmentation is given
 */
export function augment<F extends Batch>(key: Key, ...augmentations: readonly Augmentation[]): OperatorFunction<F, F & Planned> {
  for (const [i, given] of augmentations.entries()) {
    if (typeof given?.draw !== 'function') throw new TypeError(`augment: expected augmentations such as flip(0.5) but received ${String(given)} at place ${i}`);
  }
  const magnifies = augmentations.reduce((product, augmentation) => product * augmentation.magnifies, 1);
  return map((frame) => ({ ...frame, plans: frame.ids.map((_, i) => drawPlan(augmentations, fold(key, frame.step, i))), magnifies }));
}
