import type { OperatorFunction } from 'rxjs';
import * as tf from '../tf.ts';
import type { FakeLogits, RealLogits } from '../losses/adversarial.ts';
import type { Anchors } from '../models/anchors.ts';
import type { Batch } from '../streams/frames.ts';
import { mapTensors } from '../streams/mapTensors.ts';

/**
 * Moves the running means of a critic's logits: anchor = decay * anchor + (1 - decay) * mean.
 *
 * Reads  realLogits, fakeLogits  any shape
 * Adds   nothing
 * Timing one frame out for each frame in, synchronously; ends and fails with its source.
 * @param anchors from `logitAnchors`, made beside the nets
 * @param options.decay 0.9 as in vqgan-training; 0.999 elsewhere
 * @throws RangeError when decay is outside [0, 1)
 * @source Tseng et al. 2021, arXiv 2104.03310, eq. 5
 */
export function trackLogits<F extends Batch & RealLogits & FakeLogits>(anchors: Anchors, { decay = 0.9 }: { decay?: number } = {}): OperatorFunction<F, F> {
  if (!(decay >= 0 && decay < 1)) throw new RangeError(`trackLogits: expected decay to be in [0, 1) but received ${decay}`);
  return mapTensors('trackLogits', (frame) => {
    const { real, fake } = anchors.variables;
    for (const [anchor, logits] of [[real, frame.realLogits], [fake, frame.fakeLogits]] as const) {
      anchor.assign(tf.add(tf.mul(anchor, decay), tf.mul(tf.mean(logits), 1 - decay)));
    }
    return frame;
  });
}
