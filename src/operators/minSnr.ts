import type { OperatorFunction } from 'rxjs';
import * as tf from '../tf.ts';
import type { Corrupted } from '../losses/regress.ts';
import type { Batch } from '../streams/frames.ts';
import { mapTensors } from '../streams/mapTensors.ts';

/**
 * Weighs each image by Min-SNR: min(SNR, gamma) on the squared error of the target's estimate, whatever the network answers. Where no signal is left, the
 * weight is its limit.
 *
 * Reads  weight, mix
 * Adds   weight  float32 [B], the old one times min(SNR, gamma) * estimateOutput^2
 * Timing one frame out for each frame in, synchronously; ends and fails with its source.
 * @param options.gamma 5 in the paper
 * @throws RangeError when gamma is not positive
 * @source Hang et al. 2023, arXiv 2303.09556, section 3.4
 */
export function minSnr<F extends Batch & Corrupted>({ gamma = 5 }: { gamma?: number } = {}): OperatorFunction<F, F> {
  if (!(gamma > 0)) throw new RangeError(`minSnr: expected gamma to be positive but received ${gamma}`);
  return mapTensors('minSnr', (frame) => {
    const { snr, estimateOutput } = frame.mix;
    // An estimate that divides by the signal (epsilon prediction) has 1 / SNR in estimateOutput^2: bounded, since SNR is.
    const factor = tf.mul(tf.minimum(snr, gamma), tf.square(estimateOutput));
    return { ...frame, weight: tf.mul<tf.Tensor1D>(frame.weight, tf.reshape(factor, [-1])) };
  });
}
