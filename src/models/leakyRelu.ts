import * as tf from '../tf.ts';

/** x for x > 0, else slope * x; as a sum with a ReLU, since the gradient of tfjs's own has none, and gradient penalties differentiate twice. */
export const leakyRelu = <T extends tf.Tensor>(x: T, slope = 0.2): T => tf.add(tf.mul(x, slope), tf.mul(tf.relu(x), 1 - slope)) as T;
