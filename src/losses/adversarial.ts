/**
 * Adversarial losses, each a pair of terms on logits: what the critic minimises and what the generator minimises. D(x) are logits on real images, D(g) on generated
 * ones, of any equal shape (a scalar per image or a map); means run over all of them. Softplus is f(t) = ln(1 + e^t).
 */
import * as tf from '../tf.ts';
import type { Term } from './objective.ts';

/** Raw critic outputs on real images: any shape. */
export type RealLogits = Readonly<{ realLogits: tf.Tensor }>;
/** Raw critic outputs on generated images; row i judges the counterpart of real image i. */
export type FakeLogits = Readonly<{ fakeLogits: tf.Tensor }>;

/**
 * Two terms that play against each other. In the critic's step only the critic moves, in the generator's only the generator: which parameters are differentiated
 * is `backward`'s choice, the logits need no stop.
 * @typeParam G what the generator's term reads: relativistic ones need the real logits too
 */
export type AdversarialLoss<G extends FakeLogits = RealLogits & FakeLogits> = Readonly<{ critic: Term<RealLogits & FakeLogits>; generator: Term<G> }>;

const mean = (x: tf.Tensor): tf.Scalar => tf.mean(x);
const softplus = (x: tf.Tensor): tf.Tensor => tf.softplus(x);
const sum = (a: tf.Scalar, b: tf.Scalar): tf.Scalar => tf.add(a, b);
/** Mean squared distance of logits from a constant. */
const from = (x: tf.Tensor, value: number): tf.Scalar => mean(tf.square(tf.sub(x, value)));

/** f(-D(x)) + f(D(g)) against f(-D(g)). @source Goodfellow et al. 2014, arXiv 1406.2661, section 3 */
export const nonSaturating: AdversarialLoss<FakeLogits> = {
  critic: ({ realLogits, fakeLogits }) => sum(mean(softplus(tf.neg(realLogits))), mean(softplus(fakeLogits))),
  generator: ({ fakeLogits }) => mean(softplus(tf.neg(fakeLogits))),
};

/** relu(1 - D(x)) + relu(1 + D(g)) against -D(g). @source Lim and Ye 2017, arXiv 1705.02894; latent diffusion halves the critic's: give it weight 0.5 */
export const hinge: AdversarialLoss<FakeLogits> = {
  critic: ({ realLogits, fakeLogits }) => sum(mean(tf.relu(tf.sub(1, realLogits))), mean(tf.relu(tf.add(1, fakeLogits)))),
  generator: ({ fakeLogits }) => tf.neg(mean(fakeLogits)),
};

/** (D(x) - 1)^2 + D(g)^2 against (D(g) - 1)^2. @source Mao et al. 2016, arXiv 1611.04076, eq. 9; pix2pix and CycleGAN halve the critic's: give it weight 0.5 */
export const leastSquares: AdversarialLoss<FakeLogits> = {
  critic: ({ realLogits, fakeLogits }) => sum(from(realLogits, 1), from(fakeLogits, 0)),
  generator: ({ fakeLogits }) => from(fakeLogits, 1),
};

/** D(g) - D(x) against -D(g); wants a Lipschitz critic. @source Arjovsky et al. 2017, arXiv 1701.07875, algorithm 1 */
export const wasserstein: AdversarialLoss<FakeLogits> = {
  critic: ({ realLogits, fakeLogits }) => tf.sub(mean(fakeLogits), mean(realLogits)),
  generator: ({ fakeLogits }) => tf.neg(mean(fakeLogits)),
};

/** f(D(g) - D(x)), pair by pair, against f(D(x) - D(g)). Needs R1 and R2 to converge. @source Huang et al. 2025 (R3GAN), arXiv 2501.05441, eq. 2 */
export const relativisticPairing: AdversarialLoss = {
  critic: ({ realLogits, fakeLogits }) => mean(softplus(tf.sub(fakeLogits, realLogits))),
  generator: ({ realLogits, fakeLogits }) => mean(softplus(tf.sub(realLogits, fakeLogits))),
};

const averaged = (judge: (x: tf.Tensor, y: tf.Tensor) => tf.Scalar): AdversarialLoss => ({
  critic: ({ realLogits, fakeLogits }) => judge(tf.sub(realLogits, mean(fakeLogits)), tf.sub(fakeLogits, mean(realLogits))),
  generator: ({ realLogits, fakeLogits }) => judge(tf.sub(fakeLogits, mean(realLogits)), tf.sub(realLogits, mean(fakeLogits))),
});

/** f(-(D(x) - mean D(g))) + f(D(g) - mean D(x)) against the same with x and g swapped. @source Jolicoeur-Martineau 2018, arXiv 1807.00734, eq. 14-15 */
export const relativisticAverage = averaged((above, below) => sum(mean(softplus(tf.neg(above))), mean(softplus(below))));

/** (D(x) - mean D(g) - 1)^2 + (D(g) - mean D(x) + 1)^2 against the same with x and g swapped. @source as `relativisticAverage`, section 4.2 */
export const relativisticAverageLeastSquares = averaged((above, below) => sum(from(above, 1), from(below, -1)));

/**
 * TAESD's relativistic game: the generator closes the distance of the mean scores, |mean D(x) - mean D(g)| or its square; the critic separates them by any of the
 * losses here.
 */
export const meanDistance = ({ critic = leastSquares.critic, distance = 'absolute' }: {
  critic?: AdversarialLoss['critic']; distance?: 'absolute' | 'squared';
} = {}): AdversarialLoss => ({
  critic,
  generator: ({ realLogits, fakeLogits }) => {
    const gap = tf.sub(mean(realLogits), mean(fakeLogits)) as tf.Scalar;
    return distance === 'absolute' ? tf.abs(gap) : tf.square(gap);
  },
});

/** Binary cross-entropy of logits against one probability: f(D) - p D. */
const crossEntropy = (logits: tf.Tensor, probability: number): tf.Scalar => mean(tf.sub(softplus(logits), tf.mul(logits, probability)));

/**
 * Cross-entropy with softened labels: the critic is to say `real` on real images and `fake` on generated ones, the generator to make it say `real`. With 1 and 0
 * this is the non-saturating loss.
 * @param options.real, options.fake probabilities; 0.8 and 0 as in img2img-turbo
 * @throws RangeError when one is outside [0, 1]
 * @source Kumari et al. 2021 (vision-aided GAN), arXiv 2112.09130, `multilevel_sigmoid_s`
 */
export const smoothed = ({ real = 0.8, fake = 0 }: { real?: number; fake?: number } = {}): AdversarialLoss<FakeLogits> & Readonly<{
  /** The critic's term in halves, for one update on real images and one on generated ones. */
  criticReal: Term<RealLogits>;
  criticFake: Term<FakeLogits>;
}> => {
  for (const [name, value] of Object.entries({ real, fake })) {
    if (!(value >= 0 && value <= 1)) throw new RangeError(`smoothed: expected ${name} to be a probability but received ${value}`);
  }
  return {
    criticReal: ({ realLogits }) => crossEntropy(realLogits, real),
    criticFake: ({ fakeLogits }) => crossEntropy(fakeLogits, fake),
    critic: ({ realLogits, fakeLogits }) => sum(crossEntropy(realLogits, real), crossEntropy(fakeLogits, fake)),
    generator: ({ fakeLogits }) => crossEntropy(fakeLogits, real),
  };
};

/** Every loss under the name a configuration gives it, options at their defaults. */
export const adversarialLosses = {
  nonSaturating, hinge, leastSquares, wasserstein, relativisticPairing, relativisticAverage, relativisticAverageLeastSquares,
  meanDistance: meanDistance(), smoothed: smoothed(),
} as const satisfies Readonly<Record<string, AdversarialLoss>>;
