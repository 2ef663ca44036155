import type * as tf from '../tf.ts';
import { mse } from './mse.ts';
import { averagePool } from './pool.ts';

/**
 * Mean squared error of average-pooled images: holds colour and layout and leaves detail free.
 * @param prediction, target float32 [B, H, W, C], each side at least `factor`
 * @param options.factor side of the pooled squares; 8
 */
export const pooledMse = (prediction: tf.Tensor4D, target: tf.Tensor4D, { factor = 8 }: { factor?: number } = {}): tf.Scalar =>
  mse(averagePool(prediction, factor), averagePool(target, factor));
