import * as tf from '../tf.ts';
import { type Key, fold, normal, uniform } from '../random.ts';
import { approximateZeroCentred, judgedWithGradient, oneCentred } from './penalties.ts';

type Image = tf.Tensor4D;
type Critic = (images: Image) => tf.Tensor;

/** A weight that may follow a schedule: it enters the graph as a tensor. */
export type Weight = number | ((step: number) => number);

export type Penalties = Readonly<{
  /** gamma of gamma / 2 E ||grad D(real)||^2. */
  r1?: Weight;
  /** gamma of gamma / 2 E ||grad D(fake)||^2. */
  r2?: Weight;
  /** Length of the finite difference that stands in for the gradients of R1 and R2; exact gradients without it. */
  sigma?: number;
  /** Weight of WGAN-GP's E (||grad D|| - 1)^2 between real and generated images; 10 in the source. */
  oneCentred?: Weight;
  /** Only at every so many steps, so many times as strong; 1. Its Adam wants `lazyAdam`. */
  every?: number;
}>;

/** The critics of both kinds of image (they may differ by their conditions) and the images. */
export type Sides = Readonly<{ onReal: Critic; onFake: Critic; real: Image; fake: Image }>;

/** A term and its weight. */
export type Weighed = Readonly<{ weight: tf.Scalar; value: tf.Scalar }>;

/** @throws RangeError when a weight is negative, or sigma or every is not positive */
export const checkPenalties = ({ r1, r2, oneCentred: gp, sigma, every = 1 }: Penalties): void => {
  for (const [name, weight] of Object.entries({ r1, r2, oneCentred: gp })) {
    if (typeof weight === 'number' && !(weight >= 0 && Number.isFinite(weight))) throw new RangeError(`penalties: expected ${name} to be a non-negative number but received ${weight}`);
  }
  if (sigma !== undefined && !(sigma > 0)) throw new RangeError(`penalties: expected sigma to be positive but received ${sigma}`);
  if (!Number.isInteger(every) || every < 1) throw new RangeError(`penalties: expected every to be a positive integer but received ${every}`);
};

/**
 * What a critic says of both kinds of image, and its penalties; exact ones share the forward pass with the logits. Penalties of weight 0 are left out. Lazy
 * ones are computed at multiples of `every` only: those steps have a graph of their own, so two are compiled.
 * @param key of this step; draws the noise of finite differences and the places between real and generated images
 * @source lazy regularisation: Karras et al. 2019 (StyleGAN2), arXiv 1912.04958, section 3.1
 */
export const judgedWithPenalties = ({ onReal, onFake, real, fake }: Sides, { r1 = 0, r2 = 0, sigma, oneCentred: gp = 0, every = 1 }: Penalties, step: number, key: Key):
Readonly<{ realLogits: tf.Tensor; fakeLogits: tf.Tensor; terms: Readonly<Record<string, Weighed>> }> => {
  const due = step % every === 0;
  const weightOf = (weight: Weight, factor: number): tf.Scalar => tf.scalar(factor * every * (typeof weight === 'number' ? weight : weight(step)));
  const side = (critic: Critic, images: Image, gamma: Weight, name: string): { logits: tf.Tensor; term: Record<string, Weighed> } => {
    if (gamma === 0 || !due) return { logits: critic(images), term: {} };
    const weight = weightOf(gamma, 1 / 2);
    if (sigma === undefined) {
      const { logits, squaredNorms } = judgedWithGradient(critic, images);
      return { logits, term: { [name]: { weight, value: tf.mean(squaredNorms) } } };
    }
    const logits = critic(images);
    const noise = tf.tensor4d(normal(fold(key, name), images.size), images.shape);
    return { logits, term: { [name]: { weight, value: approximateZeroCentred(critic, images, noise, { sigma, logits }) } } };
  };
  const [first, second] = [side(onReal, real, r1, 'r1'), side(onFake, fake, r2, 'r2')];
  const between = (): tf.Scalar => oneCentred(onReal, real, fake, tf.tensor4d(uniform(fold(key, 'between'), real.shape[0]), [real.shape[0], 1, 1, 1]));
  return {
    realLogits: first.logits, fakeLogits: second.logits,
    terms: { ...first.term, ...second.term, ...(gp !== 0 && due && { oneCentred: { weight: weightOf(gp, 1), value: between() } }) },
  };
};
