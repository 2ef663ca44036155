import type { OperatorFunction } from 'rxjs';
import * as tf from '../tf.ts';
import type { Net } from '../models/net.ts';
import type { Batch } from '../streams/frames.ts';
import { mapTensors } from '../streams/mapTensors.ts';

/**
 * At one step of the run, lets a network begin again from its averaged weights, with an optimizer that remembers nothing. At all other steps it does nothing,
 * with the same graph.
 *
 * Reads  step
 * Adds   nothing
 * Timing one frame out for each frame in, synchronously; ends and fails with its source.
 * @param options.at the step before whose update it happens
 * @throws TypeError when the network keeps no shadow
 */
export function restart<F extends Batch>(net: Net<never, unknown>, { at }: { at: number }): OperatorFunction<F, F> {
  const { shadow } = net;
  if (!shadow) throw new TypeError(`restart: expected ${net.name} to keep a shadow but it was made without one`);
  return mapTensors(`restart(${net.name})`, (frame) => {
    const now = tf.scalar(frame.step === at, 'bool');
    const reset = (variable: tf.Variable, value: tf.Tensor): void => { variable.assign(tf.where(now, value, variable)); };
    reset(net.weights, shadow);
    for (const [name, slot] of Object.entries(net.slots)) reset(slot, tf.fill(slot.shape, net.optimizer?.slots[name] ?? 0));
    if (net.accumulator) reset(net.accumulator, tf.zerosLike(net.accumulator));
    reset(net.count, tf.scalar(0));
    return frame;
  });
}
