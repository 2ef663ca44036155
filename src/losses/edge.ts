import * as tf from '../tf.ts';
import { l1 } from './l1.ts';

type Image = tf.Tensor4D;

/** Sobel slopes along x and y of every channel, 8 times too large as the filter has it: float32 [B, H - 2, W - 2, 2 C]. */
const slopes = (x: Image): Image => {
  const [b, h, w, c] = x.shape;
  const planes: Image = tf.reshape(tf.transpose(x, [0, 3, 1, 2]), [b * c, h, w, 1]);
  const filters = tf.tensor4d([-1, -1, 0, -2, 1, -1, -2, 0, 0, 0, 2, 0, -1, 1, 0, 2, 1, 1], [3, 3, 1, 2]);
  const found = tf.conv2d(planes, filters, 1, 'valid');
  return tf.reshape(tf.transpose(tf.reshape(found, [b, c, h - 2, w - 2, 2]), [0, 2, 3, 1, 4]), [b, h - 2, w - 2, 2 * c]);
};

/** Edge loss: the mean absolute difference of Sobel slopes. Both float32 [B, H, W, C], at least 3 px a side. */
export const edge = (prediction: Image, target: Image): tf.Scalar => l1(slopes(prediction), slopes(target));
