import type { OperatorFunction } from 'rxjs';
import * as tf from '../tf.ts';
import type { Translate } from '../run/method.ts';
import { type Key, fold } from '../random.ts';
import type { Pair } from '../streams/frames.ts';
import { mapTensors } from '../streams/mapTensors.ts';

/**
 * Replaces each source by what the model, as it is now, makes of an image of its pair: the network is then trained on its own outputs.
 *
 * Reads  source or target  float32 [B, H, W, C]
 * Adds   source            what the model made, within [-1, 1], in place of the old one; no gradient
 * Timing one frame out for each frame in, synchronously; ends and fails with its source.
 * @param translate the model
 * @param options.of what it is given
 * @param options.key of its noise, as a function of step and image
 */
export function regenerate<F extends Pair>(translate: Translate, { of, key }: { of: 'source' | 'target'; key: Key }): OperatorFunction<F, F> {
  return mapTensors('regenerate', (frame) => {
    const made = translate(frame[of], { keys: frame.ids.map((_, i) => fold(key, 'regenerate', frame.step, i)) });
    return { ...frame, source: tf.clipByValue<tf.Tensor4D>(made, -1, 1) };
  });
}
