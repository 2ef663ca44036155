/** The objectives of everything that regresses an answer: weighted squared error, and the estimate of the target for losses on pixels. */
import * as tf from '../tf.ts';
import type { Latents } from '../models/codec.ts';

/** What a process made of a pair: the network's input and what it is to answer. */
export type Corrupted = Readonly<{
  /** float32 [B], what the network is told, about 0..1000. */
  t: tf.Tensor1D;
  /** float32 [B, H, W, C], the network's input. */
  noisy: tf.Tensor4D;
  /** float32 [B, H, W, C], what it is to answer. */
  goal: tf.Tensor4D;
  /** float32 [B], factor on each image's squared error. */
  weight: tf.Tensor1D;
  /**
   * The numbers behind them, each float32 [B, 1, 1, 1]: weights of the target, and of what lies at the other end of the path (the noise, or the source where
   * the path leads there), in input and goal; weights of the estimate of the target; and the signal to noise ratio.
   */
  mix: Readonly<Record<'inputScale' | 'target' | 'end' | 'goalEnd' | 'estimateX' | 'estimateOutput' | 'estimateSource' | 'snr', tf.Tensor4D>>;
}>;

/** Squared error of the network's answer, averaged per image, weighted per image, averaged over the batch. */
export const regress = ({ output, goal, weight }: Corrupted & Readonly<{ output: tf.Tensor4D }>): tf.Scalar =>
  tf.mean(tf.mul(tf.mean(tf.squaredDifference(output, goal), [1, 2, 3]), weight));

/** What the answer says the target is: float32 [B, H, W, C]. */
export const estimateOf = ({ output, noisy, sourceLatent, mix }: Corrupted & Latents & Readonly<{ output: tf.Tensor4D }>): tf.Tensor4D =>
  tf.addN([tf.mul(mix.estimateX, noisy), tf.mul(mix.estimateOutput, output), tf.mul(mix.estimateSource, sourceLatent)]);
