import * as tf from '../../tf.ts';

/** The identity, through which no gradient flows. */
export const stopGradient = <T extends tf.Tensor>(x: T): T =>
  tf.customGrad((value) => ({ value: tf.clone(value as tf.Tensor), gradFunc: () => tf.zerosLike(value as tf.Tensor) }))(x) as T;
