/** Held-out pairs made from a formula. */
import { fold, seeded, uniform } from '../../src/random.ts';
import type { DecodedPair, HeldOut } from '../../src/run/validation.ts';

/** `count` random pairs; the target is the source times 0.8. Counts how often a pair was read and the mean was taken. */
export const madeUp = (count: number, size = 16): HeldOut & { reads: number; means: number } => {
  const length = size * size * 3;
  const pair = (i: number): DecodedPair => {
    const source = uniform(fold(seeded(3), i), length).map((x) => 2 * x - 1);
    return { id: `pair${i}`, source, target: source.map((x) => 0.8 * x) };
  };
  const made = {
    height: size, width: size, reconstructs: false, reads: 0, means: 0,
    pairs: async () => Array.from({ length: count }, (_, i) => async () => { made.reads++; return pair(i); }),
    meanTarget: async () => { made.means++; return { image: new Float32Array(length), images: 64 }; },
  };
  return made;
};
