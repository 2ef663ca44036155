import { pairDecoder, workingCache } from '../data/decodePair.ts';
import type { PairFile } from '../data/dataset.ts';
import { restPlan } from '../data/augmentations/augmentation.ts';
import { DecodeError } from '../errors.ts';
import type { RunContext } from './method.ts';
import type { DecodedPair, HeldOut } from './validation.ts';

/** `count` of the items at most, evenly spread, in their order. */
export const spread = <T>(items: readonly T[], count: number): T[] =>
  (items.length <= count ? [...items] : Array.from({ length: count }, (_, i) => items[Math.floor(i * items.length / count)] as T));

/** Remembers what a task found; a task that fails is tried again. */
const once = <T>(task: () => Promise<T>): (() => Promise<T>) => {
  let found: Promise<T> | undefined;
  return () => (found ??= task().catch((cause: unknown) => { found = undefined; throw cause; }));
};

/**
 * The held-out pairs of a run's dataset at training size, without augmentation. They are decoded when they are first asked for, and stay in memory as far as
 * there is room; others are decoded anew each time. A pair that cannot be read is passed over and told, or fails where the run is strict.
 * @param options.size side in pixels
 * @param options.limit pairs at most, evenly spread over those held out
 * @param options.means training targets at most that the mean target is taken over
 * @param options.memory bytes of decoded pairs to keep
 * @throws DecodeError, when asked for pairs, where the run is strict
 */
export const heldOutOf = ({ dataset, skippedFiles, strict }: Pick<RunContext, 'dataset' | 'skippedFiles' | 'strict'>, { size, limit = 500, means = 500, memory = 2 ** 28 }: {
  size: number; limit?: number; means?: number; memory?: number;
}): HeldOut => {
  const decoder = once(async () => pairDecoder(await workingCache('off', '')));
  const decode = async (pair: PairFile): Promise<DecodedPair> =>
    (await decoder())({ pair, spares: [], plan: restPlan }, { size, magnifies: 1, strict: true });
  /** @returns undefined for a pair that was passed over */
  const attempt = async (pair: PairFile): Promise<DecodedPair | undefined> => {
    try {
      return await decode(pair);
    } catch (cause) {
      if (strict || !(cause instanceof DecodeError)) throw cause;
      skippedFiles.add(cause.subject, cause.message);
      return undefined;
    }
  };
  return {
    height: size,
    width: size,
    reconstructs: dataset.reconstructs !== undefined,
    pairs: once(async () => {
      const room = Math.floor(memory / (2 * 4 * 3 * size * size));
      const loads: (() => Promise<DecodedPair>)[] = [];
      for (const pair of spread(dataset.validation, limit)) {
        const decoded = await attempt(pair);
        if (decoded) loads.push(loads.length < room ? () => Promise.resolve(decoded) : () => decode(pair));
      }
      return loads;
    }),
    meanTarget: once(async () => {
      const sum = new Float64Array(size * size * 3);
      let images = 0;
      for (const pair of spread(dataset.train, means)) {
        const decoded = await attempt(pair);
        if (!decoded) continue;
        images++;
        decoded.target.forEach((value, i) => { sum[i] = (sum[i] as number) + value; });
      }
      return images === 0 ? undefined : { image: Float32Array.from(sum, (value) => value / images), images };
    }),
  };
};
