import type { OperatorFunction } from 'rxjs';
import * as tf from '../tf.ts';
import { gaussianBlur } from '../models/gaussianBlur.ts';
import { type Key, fold, uniform } from '../random.ts';
import type { Pair } from '../streams/frames.ts';
import { mapTensors } from '../streams/mapTensors.ts';

/**
 * Replaces each source by a smoothed copy of an image of its pair, blurred by a width drawn per image: of the target, a pair that needs no source; of the
 * source, what then is asked for the same detail.
 *
 * Reads  source or target  float32 [B, H, W, C]
 * Adds   source            the blurred image, in place of the old one
 * Timing one frame out for each frame in, synchronously; ends and fails with its source.
 * @param options.of which image is smoothed
 * @param options.sigma range of the standard deviation, in pixels
 * @param options.key draws it, as a function of the step
 * @throws RangeError when `sigma` is not a range of positive numbers
 */
export function smooth<F extends Pair>({ of, sigma: [low, high], key }: { of: 'source' | 'target'; sigma: readonly [number, number]; key: Key }): OperatorFunction<F, F> {
  if (!(low > 0 && low <= high)) throw new RangeError(`smooth: expected 0 < low <= high but received [${low}, ${high}]`);
  return mapTensors(`smooth(${of})`, (frame) => {
    const draws = uniform(fold(key, 'smooth', frame.step), frame[of].shape[0]);
    return { ...frame, source: gaussianBlur(frame[of], tf.tensor1d(draws.map((u) => low + (high - low) * u))) };
  });
}
