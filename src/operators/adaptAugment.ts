import type { OperatorFunction } from 'rxjs';
import * as tf from '../tf.ts';
import type { RealLogits } from '../losses/adversarial.ts';
import type { Batch, Measured } from '../streams/frames.ts';
import { mapTensors } from '../streams/mapTensors.ts';

/** The probability that `adaAugment` is given, and the signs counted since it last moved, as variables of a run. */
export type AugmentControl = Readonly<{ variables: Readonly<{ p: tf.Variable<tf.Rank.R0>; signs: tf.Variable<tf.Rank.R0> }> }>;

/** Makes a control at probability `p`. It belongs to the caller (see `scoped`). */
export const augmentControl = (p = 0): AugmentControl =>
  tf.tidy(() => ({ variables: { p: tf.variable(tf.scalar(p), false), signs: tf.variable(tf.scalar(0), false) } }) as unknown as tf.TensorContainer) as unknown as AugmentControl;

/**
 * Adapts how often a critic's images are augmented to how much it overfits: every `interval` steps p moves up or down by interval * B / images, as the mean
 * sign of the logits on real images is above or below `target`.
 *
 * Reads  realLogits  any shape; ids (their number is the batch size)
 * Adds   metrics  `augment.p`
 * Timing one frame out for each frame in, synchronously; ends and fails with its source.
 * @param options.images shown while p goes from 0 to 1; 500,000 in the source, a tenth of it for small datasets
 * @throws RangeError when an option is out of range
 * @source Karras et al. 2020, arXiv 2006.06676, section 3.2
 */
export function adaptAugment<F extends Batch & RealLogits>({ variables: { p, signs } }: AugmentControl, { target = 0.6, interval = 4, images = 500_000, most = 1 }: {
  target?: number; interval?: number; images?: number; most?: number;
} = {}): OperatorFunction<F, F & Measured> {
  if (!Number.isInteger(interval) || interval < 1) throw new RangeError(`adaptAugment: expected interval to be a positive integer but received ${interval}`);
  if (!(images > 0) || !(most > 0 && most <= 1)) throw new RangeError(`adaptAugment: expected positive images and most in (0, 1] but received ${images} and ${most}`);
  return mapTensors('adaptAugment', (frame) => {
    const due = tf.scalar((frame.step + 1) % interval === 0, 'bool');
    const sum: tf.Scalar = tf.add(signs, tf.mean(tf.sign(frame.realLogits)));
    const moved: tf.Scalar = tf.clipByValue(tf.add(p, tf.mul(tf.sign(tf.sub(tf.div(sum, interval), target)), (interval * frame.ids.length) / images)), 0, most);
    p.assign(tf.where(due, moved, p));
    signs.assign(tf.where(due, tf.zerosLike(sum), sum));
    const metrics = 'metrics' in frame ? (frame as unknown as Measured).metrics : {};
    return { ...frame, metrics: { ...metrics, 'augment.p': tf.clone(p) as tf.Scalar } };
  });
}
