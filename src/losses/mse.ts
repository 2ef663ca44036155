import * as tf from '../tf.ts';

/** Mean squared error over everything; `prediction` and `target` of equal shape. */
export const mse = (prediction: tf.Tensor, target: tf.Tensor): tf.Scalar => tf.mean(tf.square(tf.sub(prediction, target)));
