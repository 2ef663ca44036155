import type { OperatorFunction } from 'rxjs';
import * as tf from '../tf.ts';
import type { Corrupted } from '../losses/regress.ts';
import type { Latents } from '../models/codec.ts';
import { type Net, applyNet, paramsOf } from '../models/net.ts';
import type { Batch } from '../streams/frames.ts';
import { mapTensors } from '../streams/mapTensors.ts';
import type { Predict } from './backward.ts';

/**
 * DREAM: one look of the network at its own input first, then train on what sampling will really meet. With eps' = eps + lambda d, where d = eps - (the noise
 * it sees) and lambda = sigma^p, both input and goal are made of eps' in place of eps, so that the pair keeps its meaning for any prediction type. On a path
 * from the source, that is what eps and sigma stand for: the input moves towards where the network's own estimate would have led.
 *
 * Reads  noisy, goal, mix, targetLatent, sourceLatent
 * Adds   noisy, goal  adapted; no gradient flows through the first look
 * Timing one frame out for each frame in, synchronously; ends and fails with its source.
 * @param predict as given to `backward`
 * @param options.power p: 1 in the paper, 0 rectifies fully, large values switch it off
 * @throws RangeError when power is negative
 * @source Zhou et al. 2024, arXiv 2312.00210, algorithm 3
 */
export function dream<F extends Batch & Corrupted & Latents, I extends readonly unknown[], O>(
  net: Net<I, O>, predict: Predict<I, O, F, Readonly<{ output: tf.Tensor4D }>>, { power = 1 }: { power?: number } = {},
): OperatorFunction<F, F> {
  if (!(power >= 0)) throw new RangeError(`dream: expected power to be at least 0 but received ${power}`);
  return mapTensors('dream', (frame: F) => {
    const { noisy, goal, mix, sourceLatent, targetLatent } = frame;
    const { output } = predict(applyNet(net), frame, paramsOf(net));
    const estimate = tf.addN([tf.mul(mix.estimateX, noisy), tf.mul(mix.estimateOutput, output), tf.mul(mix.estimateSource, sourceLatent)]);
    // Noise seen minus noise there is: the error of x0 times target / end; lambda takes the place of a division by zero where there is no noise.
    const lambda = tf.pow(mix.end, power);
    const shift = tf.divNoNan(tf.mul(tf.mul(lambda, mix.target), tf.sub(estimate, targetLatent)), mix.end);
    return {
      ...frame,
      noisy: tf.add<tf.Tensor4D>(noisy, tf.mul(tf.mul(mix.inputScale, mix.end), shift)),
      goal: tf.add<tf.Tensor4D>(goal, tf.mul(mix.goalEnd, shift)),
    };
  });
}
