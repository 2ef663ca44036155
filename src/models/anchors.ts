import * as tf from '../tf.ts';

/** Running means of a critic's logits, as variables of a run. */
export type Anchors = Readonly<{ variables: Readonly<{ real: tf.Variable<tf.Rank.R0>; fake: tf.Variable<tf.Rank.R0> }> }>;

/** Makes anchors at 0. They belong to the caller (see `scoped`). */
export const logitAnchors = (): Anchors => tf.tidy(() => ({ variables: { real: tf.variable(tf.scalar(0), false), fake: tf.variable(tf.scalar(0), false) } }) as unknown as tf.TensorContainer) as unknown as Anchors;
