import type { PairFile } from '../data/dataset.ts';
import { fold, permute, seeded } from '../random.ts';
import type { Batch } from './frames.ts';

/** A batch as names: which pairs, at which place of the run. */
export type Named = Batch & Readonly<{ pairs: readonly PairFile[] }>;

/**
 * The batches of a run, as names only. Image i of step s is place p = s * batch + i of one endless line of epochs, each a keyed permutation of the pairs: batches
 * are always full, one may hold the end of an epoch and the beginning of the next, and any step can be asked for at once.
 *
 * Timing an iterable, drawn lazily: the credit gate takes one item per credit; every iteration starts at `from` again
 * @param pairs in an order that does not depend on the disk
 * @param options.from step to begin at @param options.steps step to end before; endless by default
 * @throws RangeError when there are no pairs or a number is not as expected
 */
export const pairBatches = (pairs: readonly PairFile[], { batch, seed, from = 0, steps = Infinity }: { batch: number; seed: number; from?: number; steps?: number }): Iterable<Named> => {
  if (pairs.length === 0) throw new RangeError('pairBatches: expected at least one pair but received none');
  if (!Number.isInteger(batch) || batch < 1) throw new RangeError(`pairBatches: expected batch to be a positive integer but received ${batch}`);
  if (!Number.isInteger(from) || from < 0) throw new RangeError(`pairBatches: expected from to be a step but received ${from}`);
  const key = fold(seeded(seed), 'shuffle');
  const at = (place: number): PairFile => pairs[permute(fold(key, Math.floor(place / pairs.length)), pairs.length, place % pairs.length)] as PairFile;
  return {
    * [Symbol.iterator]() {
      for (let step = from; step < steps; step++) {
        const some = Array.from({ length: batch }, (_, i) => at(step * batch + i));
        yield { step, epoch: Math.floor((step * batch) / pairs.length), ids: some.map(({ id }) => id), pairs: some };
      }
    },
  };
};
