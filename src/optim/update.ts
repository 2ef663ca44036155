import * as tf from '../tf.ts';
import type { Net } from '../models/net.ts';

/**
 * The gradient scaled down to a global norm of at most `bound` (as it is, without one), and its norm before that; as `torch.nn.utils.clip_grad_norm_`.
 * @param gradient float32 [N]
 */
export const clipByNorm = (gradient: tf.Tensor1D, bound: number | undefined): Readonly<{ clipped: tf.Tensor1D; norm: tf.Scalar }> => {
  const norm: tf.Scalar = tf.sqrt(tf.sum(tf.square(gradient)));
  return { norm, clipped: bound === undefined ? gradient : tf.mul(gradient, tf.minimum(1, tf.div(bound, tf.add(norm, 1e-6)))) };
};

/**
 * Moves a network by one gradient: accumulation, clipping by the global norm, the optimizer's rule. A loss or gradient norm that is not finite leaves weights,
 * slots and count as they were; that choice, and whether this step is the last of its accumulation, are made inside the graph. Call inside a tidy.
 * @param gradient float32 [N], in the layout of `net.weights`
 * @param options.loss what was differentiated; only looked at for being finite
 * @param options.step place in the run; with accumulation, steps k m .. k m + k - 1 make update m, whose learning rate is `net.lr(m)`
 * @param options.clip bound on the global norm of the (averaged) gradient; none by default
 * @returns the norm before clipping, of the average so far, and whether it and the loss are finite
 * @throws TypeError when the network has no optimizer
 */
export const updateNet = (net: Net<never, unknown>, gradient: tf.Tensor1D, { loss, step, clip }: { loss: tf.Scalar; step: number; clip?: number | undefined }):
Readonly<{ gradNorm: tf.Scalar; finite: tf.Scalar }> => {
  const { optimizer, accumulate, accumulator } = net;
  if (!optimizer) throw new TypeError(`updateNet: expected ${net.name} to have an optimizer but it has none`);
  let total = gradient;
  if (accumulator) {
    // A loss of infinity may come with finite gradients: it spoils the whole update.
    const part = tf.add(tf.div(gradient, accumulate), tf.mul(loss, 0)) as tf.Tensor1D;
    total = tf.where(tf.scalar(step % accumulate === 0, 'bool'), part, tf.add(accumulator, part));
    accumulator.assign(total);
  }
  const { clipped, norm: gradNorm } = clipByNorm(total, clip);
  const finite = tf.logicalAnd(tf.isFinite(loss), tf.isFinite(gradNorm)) as tf.Scalar;
  const moves = accumulator ? tf.logicalAnd(finite, tf.scalar(step % accumulate === accumulate - 1, 'bool')) : finite;
  const count = tf.add(net.count, 1) as tf.Scalar;
  const update = Math.floor(step / accumulate);
  const scheduled = Object.fromEntries(Object.entries(optimizer.scheduled ?? {}).map(([name, value]) => [name, tf.scalar(value(update))]));
  const next = optimizer.update(net.weights, clipped, net.slots, tf.scalar(net.lr(update)), count, scheduled);
  net.weights.assign(tf.where(moves, next.weights, net.weights));
  for (const [name, slot] of Object.entries(net.slots)) slot.assign(tf.where(moves, next.slots[name] as tf.Tensor1D, slot));
  net.count.assign(tf.where(moves, count, net.count));
  return { gradNorm, finite };
};
