import type { PairFile } from '../data/dataset.ts';
import { fold, integers, permute, seeded } from '../random.ts';
import type { Batch } from './frames.ts';

/** The names of one batch. */
export type Named = Batch & Readonly<{
  pairs: readonly PairFile[];
  /** Pairs that stand in, in this order, for any of `pairs` that cannot be decoded. */
  spares: readonly PairFile[];
}>;

const spareCount = 8;

/**
 * The names of all batches, shuffled anew in each epoch. Image i of step s stands at place p = s * batch + i of an endless row: epoch floor(p / n), and in it
 * the p mod n'th pair of a permutation keyed by (seed, epoch). So batches are always full: the tail of an epoch flows on into the next, and a dataset smaller
 * than a batch comes round again within it. The place of a run is one integer, and nothing is stored.
 *
 * Timing as fast as it is drawn; endless when `steps` is undefined. `from(pairBatches(...))` is the same as an observable.
 * @param pairs the dataset, in an order that depends on nothing but the files
 * @param options.from step to begin at @param options.steps steps of the whole run: the last one is `steps - 1`
 * @throws RangeError when there are no pairs, `batch` is not positive, or a step is negative
 */
export function pairBatches(pairs: readonly PairFile[], { batch, seed, from = 0, steps = Infinity }: { batch: number; seed: number; from?: number; steps?: number }): Iterable<Named> {
  const count = pairs.length;
  if (count === 0) throw new RangeError('pairBatches: expected at least one pair but received none');
  if (!Number.isInteger(batch) || batch < 1) throw new RangeError(`pairBatches: expected batch to be a positive integer but received ${batch}`);
  if (!Number.isInteger(from) || from < 0) throw new RangeError(`pairBatches: expected from to be a step, 0 or more, but received ${from}`);
  if (!(steps >= 0)) throw new RangeError(`pairBatches: expected steps to be 0 or more but received ${steps}`);
  const key = seeded(seed);
  const at = (place: number): PairFile => pairs[permute(fold(key, 'shuffle', Math.floor(place / count)), count, place % count)] as PairFile;
  return {
    * [Symbol.iterator]() {
      for (let step = from; step < steps; step++) {
        const chosen = Array.from({ length: batch }, (_, i) => at(step * batch + i));
        const spares = Array.from(integers(fold(key, 'spares', step), spareCount, count), (i) => pairs[i] as PairFile);
        yield { step, epoch: Math.floor(step * batch / count), ids: chosen.map(({ id }) => id), pairs: chosen, spares };
      }
    },
  };
}
