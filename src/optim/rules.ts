/** What the optimizers share: option checks, weight decay into the gradient, and bias corrections that stay exact in float32. */
import * as tf from '../tf.ts';

/** @throws RangeError naming the first option that is out of range */
export const checkOptions = (optimizer: string, options: Readonly<Record<string, readonly [value: number, fits: boolean, expected: string]>>): void => {
  for (const [name, [value, fits, expected]] of Object.entries(options)) {
    if (!fits) throw new RangeError(`${optimizer}: expected ${name} to be ${expected} but received ${value}`);
  }
};

/** Range checks in the form that `checkOptions` takes. */
export const nonNegative = (value: number): readonly [number, boolean, string] => [value, value >= 0 && Number.isFinite(value), 'a non-negative number'];
export const share = (value: number): readonly [number, boolean, string] => [value, value >= 0 && value < 1, 'in [0, 1)'];

/** The gradient with the L2 penalty's gradient added and, to maximise, its sign turned (the sign first, as PyTorch has it). */
export const effectiveGradient = (gradient: tf.Tensor1D, weights: tf.Tensor1D, { weightDecay, maximize }: { weightDecay: number; maximize: boolean }): tf.Tensor1D => {
  const signed = maximize ? tf.neg(gradient) : gradient;
  return weightDecay === 0 ? signed : tf.add(signed, tf.mul(weights, weightDecay));
};

/** The share of something old that a step keeps, the rest, and the share's logarithm: numbers, or tensors that were worked out in double precision. */
export type Share = Readonly<Record<'keep' | 'rest' | 'log', number | tf.Scalar>>;

const shareOf = (keep: number): Readonly<Record<keyof Share, number>> => ({ keep, rest: 1 - keep, log: Math.log(keep) });

/** A share that follows a schedule, as an optimizer declares it (see `Optimizer.scheduled`). @throws RangeError (when asked) for a share outside (0, 1) */
export const scheduledShare = (name: string, schedule: (update: number) => number): Readonly<Record<string, (update: number) => number>> => {
  const at = (part: keyof Share) => (update: number): number => {
    const keep = schedule(update);
    if (!(keep > 0 && keep < 1)) throw new RangeError(`${name}: expected the schedule to stay in (0, 1) but it is ${keep} at update ${update}`);
    return shareOf(keep)[part];
  };
  return { [`${name}.keep`]: at('keep'), [`${name}.rest`]: at('rest'), [`${name}.log`]: at('log') };
};

/** Its values at this update. @throws TypeError when they did not come */
export const shareNow = (name: string, scheduled: Readonly<Record<string, tf.Scalar>> = {}): Share => {
  const { [`${name}.keep`]: keep, [`${name}.rest`]: rest, [`${name}.log`]: log } = scheduled;
  if (!keep || !rest || !log) throw new TypeError(`${name}: expected the scheduled values of this update but received none`);
  return { keep, rest, log };
};

/** `old * keep + value * (1 - keep)`. */
export const lerp = (old: tf.Tensor1D, value: tf.Tensor1D, share: number | Share): tf.Tensor1D => {
  const { keep, rest } = typeof share === 'number' ? shareOf(share) : share;
  return tf.add(tf.mul(old, keep), tf.mul(value, rest));
};

/**
 * 1 - beta^count inside the graph, as 2 tanh(y) / (1 + tanh(y)) with y = -count ln(beta) / 2: for beta near 1 the plain difference would lose half of
 * float32's digits at the first steps.
 */
export const biasCorrection = (beta: number | Share, count: tf.Scalar): tf.Scalar => {
  if (beta === 0) return tf.onesLike(count);
  const { log } = typeof beta === 'number' ? shareOf(beta) : beta;
  const tanh = tf.tanh(tf.mul(count, typeof log === 'number' ? -log / 2 : tf.div(log, -2)));
  return tf.div(tf.mul(tanh, 2), tf.add(tanh, 1));
};
