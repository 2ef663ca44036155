/** Ways to balance an adversarial term against a reconstruction: by gradients at the last layer, or on the image. */
import * as tf from '../tf.ts';
import { constantOf, gradientsOf } from '../models/tape.ts';
import type { Objective, Term } from './objective.ts';

/**
 * The weight that makes an adversarial term pull as hard as the reconstruction on one tensor: scale * clamp(|d reconstruction| / (|d adversarial| + eps), 0, bound). A constant.
 * Call inside the tape that both losses were computed on.
 * @param lastLayer the leaf both are differentiated by, such as the decoder's last weight
 * @source Esser et al. 2020 (VQGAN), arXiv 2012.09841, eq. 7; constants of latent-diffusion
 */
export const adaptiveWeight = (reconstruction: tf.Scalar, adversarial: tf.Scalar, lastLayer: tf.Tensor, { scale = 0.5, bound = 1e4, eps = 1e-4 }: { scale?: number; bound?: number; eps?: number } = {}): tf.Scalar => {
  // Both losses are on the open tape already: this walks back from them and runs nothing forward.
  const slopeOf = (loss: tf.Scalar): tf.Tensor => gradientsOf([lastLayer], () => ({ loss: tf.clone(loss), extra: undefined })).grads[0] as tf.Tensor;
  const [ours, theirs] = [slopeOf(reconstruction), slopeOf(adversarial)];
  return constantOf(() => tf.mul(tf.minimum(tf.div(tf.norm(ours), tf.add(tf.norm(theirs), eps)), bound), scale)) as tf.Scalar;
};

/**
 * A reconstruction objective plus an adversarial term under its adaptive weight. Terms are reported as they are, with `adversarial` and `adversarialWeight`.
 * @param options.lastLayer the leaf, taken from the frame: `predict` may return it, from the parameters it is given
 * @param options.factor of this frame on top of the weight: 0 before the critic's start, as a tensor
 */
export const adaptively = <F>(reconstruction: Objective<F>, adversarial: Term<F>, { lastLayer, factor, ...options }: {
  lastLayer: (frame: F) => tf.Tensor; factor?: (frame: F) => tf.Scalar; scale?: number; bound?: number; eps?: number;
}): Objective<F> => (frame) => {
  const { loss, terms } = reconstruction(frame);
  const against = adversarial(frame);
  const weight = adaptiveWeight(loss, against, lastLayer(frame), options);
  const total = factor ? tf.mul<tf.Scalar>(weight, factor(frame)) : weight;
  return { loss: tf.add(loss, tf.mul(against, total)), terms: { ...terms, adversarial: against, adversarialWeight: total } };
};

/**
 * The identity, whose gradient is scaled to length `weight` over the whole tensor: several losses on such copies of one image pull in fixed proportion, however large their
 * values are.
 * @source cloneofsimo/vqgan-training, gradient normalisation
 */
export const normalisedGradient = <T extends tf.Tensor>(x: T, weight = 1, { eps = 1e-8 }: { eps?: number } = {}): T => tf.customGrad(((input: tf.Tensor) => ({
  value: tf.clone(input), gradFunc: (dy: tf.Tensor) => tf.mul(dy, tf.div(weight, tf.add(tf.norm(dy), eps))),
})) as Parameters<typeof tf.customGrad>[0])(x) as T;

/** Feature matching: the mean over layers of the mean absolute difference of a critic's features. @source Wang et al. 2017 (pix2pixHD), arXiv 1711.11585, eq. 4 */
export const featureMatching = (real: readonly tf.Tensor[], fake: readonly tf.Tensor[]): tf.Scalar => {
  if (real.length === 0 || real.length !== fake.length) throw new RangeError(`featureMatching: expected equally many features of both but received ${real.length} and ${fake.length}`);
  return tf.div(real.map((x, i) => tf.mean(tf.abs(tf.sub(x, fake[i] as tf.Tensor)))).reduce((a, b) => tf.add(a, b)), real.length) as tf.Scalar;
};
