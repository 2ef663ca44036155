import type { OperatorFunction } from 'rxjs';
import * as tf from '../tf.ts';
import type { Batch, Pair, Prepared } from '../streams/frames.ts';
import { mapTensors } from '../streams/mapTensors.ts';
import type { Pixels } from './decodePairs.ts';

/**
 * Turns decoded pixels into tensors: the upload.
 *
 * Reads  pixels
 * Adds   source, target  float32 [B, H, W, 3] in [-1, 1]; `pixels` and `spent` are left out
 * Timing one frame out for each frame in, synchronously; ends and fails with its source. Belongs after `gate.inTurn()`, so that one batch at a time is tensors.
 */
export function batch<F extends Batch & Pixels & Partial<Prepared>>(): OperatorFunction<F, Omit<F, 'pixels' | 'spent'> & Pair> {
  return mapTensors('batch', (frame: F) => {
    const { pixels, spent, ...rest } = frame;
    const [b, h, w, c] = pixels.shape;
    return { ...rest, source: tf.tensor4d(pixels.source, [b, h, w, c]), target: tf.tensor4d(pixels.target, [b, h, w, c]) } as unknown as Omit<F, 'pixels' | 'spent'> & Pair;
  });
}
