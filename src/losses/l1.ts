import * as tf from '../tf.ts';

/** Mean absolute error over everything; `prediction` and `target` of equal shape. */
export const l1 = (prediction: tf.Tensor, target: tf.Tensor): tf.Scalar => tf.mean(tf.abs(tf.sub(prediction, target)));
