import type { OperatorFunction } from 'rxjs';
import type * as tf from '../tf.ts';
import { drawColourShift, shiftColour } from '../models/colourShift.ts';
import { type Key, fold } from '../random.ts';
import type { Batch } from '../streams/frames.ts';
import { mapTensors } from '../streams/mapTensors.ts';

/**
 * Shifts the colours of a share of the images, TAESD's way. Before anything is encoded: a latent must be that of the image it stands beside.
 *
 * Reads  the named fields   float32 [B, H, W, 3] in [-1, 1]
 * Adds   the same fields, all of one image under the same change
 * Timing one frame out for each frame in, synchronously; ends and fails with its source.
 * @param fields which images: both of a pair where the mapping should not depend on colour, or the source alone where its target's palette is fixed
 * @param options.share of the images that are changed; 0.05 to 0.1 in the source
 * @param options.key draws the changes, as functions of the step
 * @throws RangeError when no field is named or `share` is no probability
 */
export function shiftColours<K extends string, F extends Batch & Readonly<Record<K, tf.Tensor4D>>>(fields: readonly K[], { key, share = 0.1 }: { key: Key; share?: number }): OperatorFunction<F, F> {
  if (fields.length === 0) throw new RangeError('shiftColours: expected at least one field but received none');
  if (!(share >= 0 && share <= 1)) throw new RangeError(`shiftColours: expected share to be a probability but received ${share}`);
  return mapTensors('shiftColours', (frame) => {
    const change = drawColourShift(fold(key, 'shiftColours', frame.step), (frame[fields[0] as K] as tf.Tensor4D).shape[0], { share });
    return { ...frame, ...Object.fromEntries(fields.map((field) => [field, shiftColour(frame[field], change)])) } as F;
  });
}
