/** Objectives: what a network is trained on, as a sum of named, weighted terms. */
import * as tf from '../tf.ts';

/** One loss of a frame: a pure function to a scalar, differentiable in the predictions it reads. */
export type Term<F> = (frame: F) => tf.Scalar;

/** The loss and, for the report, its unweighted terms. */
export type Objective<F> = (frame: F) => Readonly<{ loss: tf.Scalar; terms: Readonly<Record<string, tf.Scalar>> }>;

/**
 * A weighted sum: `weighted({ l2: [1, l2], gan: [0.5, hingeG(critic)] })`. Terms of weight 0 are left out of graph and report.
 * @throws RangeError when a weight is not a finite number, or no term is left
 */
export const weighted = <F>(terms: Readonly<Record<string, readonly [weight: number, term: Term<F>]>>): Objective<F> => {
  for (const [name, [weight]] of Object.entries(terms)) {
    if (!Number.isFinite(weight)) throw new RangeError(`weighted: expected a finite weight for ${name} but received ${weight}`);
  }
  const active = Object.entries(terms).filter(([, [weight]]) => weight !== 0);
  if (active.length === 0) throw new RangeError('weighted: expected at least one term of non-zero weight but received none');
  return (frame) => {
    const values = active.map(([name, [weight, term]]) => ({ name, weight, value: term(frame) }));
    const loss = values.map(({ weight, value }) => (weight === 1 ? value : tf.mul(value, weight))).reduce((a, b) => tf.add(a, b));
    return { loss: loss as tf.Scalar, terms: Object.fromEntries(values.map(({ name, value }) => [name, value])) };
  };
};

/** The same objective, with terms that are reported and not trained on. */
export const alsoReported = <F>(objective: Objective<F>, reported: Readonly<Record<string, Term<F>>>): Objective<F> => (frame) => {
  const { loss, terms } = objective(frame);
  return { loss, terms: { ...terms, ...Object.fromEntries(Object.entries(reported).map(([name, term]) => [name, term(frame)])) } };
};
