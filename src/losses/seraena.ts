/** Seraena's game: a critic that scores -1 for real and +1 for generated, and its gradient as a correction of unit scale. */
import * as tf from '../tf.ts';
import { gradientsOf } from '../models/tape.ts';
import { mse } from './mse.ts';

/** The critic's loss: mean squared distance of its scores from -1 (real) or +1 (generated), image by image. @param isFake float32 [B], 0 or 1 */
export const seraenaLoss = (scores: tf.Tensor4D, isFake: tf.Tensor1D): tf.Scalar =>
  mse(scores, tf.mul(tf.ones(scores.shape), tf.sub(tf.mul(tf.reshape(isFake, [-1, 1, 1, 1]), 2), 1)));

/**
 * What to add to generated images so that the critic scores them more like their real counterparts: minus the gradient of sum_b mean (D(real) - D(fake))^2 with respect
 * to `fake`, over its standard deviation across the whole batch. The generator's loss is the mean squared distance from the corrected images; it tends to 1
 * and says nothing of quality. Call inside a tidy; the result is a constant.
 * @param critic the critic in evaluation mode, with the images' contexts
 * @param options.eps added to the deviation; far above it only once the critic can tell the two apart, so 1e-5 is a warm-up
 * @returns float32 as `fake`
 * @source madebyollin/seraena, `Seraena._make_correction`
 */
export const seraenaCorrection = (critic: (images: tf.Tensor4D) => tf.Tensor4D, real: tf.Tensor4D, fake: tf.Tensor4D, { eps = 1e-5 }: { eps?: number } = {}): tf.Tensor4D => {
  const wanted = critic(real);
  const { grads: [gradient] } = gradientsOf([fake], () => ({ loss: tf.sum(tf.mean(tf.squaredDifference(wanted, critic(fake)), [1, 2, 3])) as tf.Scalar, extra: undefined }));
  const down = tf.neg(gradient as tf.Tensor4D);
  const deviation = tf.sqrt(tf.mean(tf.square(tf.sub(down, tf.mean(down)))));
  return tf.div(down, tf.add(deviation, eps));
};
