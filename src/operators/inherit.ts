import type { OperatorFunction } from 'rxjs';
import * as tf from '../tf.ts';
import { type FlatLayout, type Net, flatten, named, paramsOf, unflatten } from '../models/net.ts';
import type { Params } from '../models/network.ts';
import type { Batch } from '../streams/frames.ts';
import { mapTensors } from '../streams/mapTensors.ts';

/**
 * At one step of the run, lets a network take over every parameter that another has under the same name and shape, from that one's averaged weights: a
 * teacher its student's, a trainable copy its base's. At all other steps it does nothing, with the same graph.
 *
 * Reads  step
 * Adds   nothing
 * Timing one frame out for each frame in, synchronously; ends and fails with its source.
 * @param options.at the step before whose update it happens
 * @param options.unless looks at the parameters of `to`: a boolean scalar that is true where they are to stay as they are
 * @throws TypeError when the two share no parameter
 */
export function inherit<F extends Batch>(from: Net<never, unknown>, to: Net<never, unknown>, { at, unless }: { at: number; unless?: (params: Params) => tf.Tensor }): OperatorFunction<F, F> {
  const shared = new Set([...to.network.specs].flatMap(([name, { shape }]) => (`${from.network.specs.get(name)?.shape}` === `${shape}` ? [name] : [])));
  if (shared.size === 0) throw new TypeError(`inherit: expected ${to.name} to have parameters of ${from.name} but they share none`);
  return mapTensors(`inherit(${from.name}, ${to.name})`, (frame) => {
    const due = tf.scalar(frame.step === at, 'bool');
    const now = unless ? tf.logicalAnd(due, tf.logicalNot(unless(paramsOf(to)))) : due;
    const there = paramsOf(from, 'shadow');
    const take = (vector: tf.Variable<tf.Rank.R1> | undefined, layout: FlatLayout): void => {
      if (!vector || layout.length === 0) return;
      const own = named(layout, unflatten(vector, layout));
      vector.assign(tf.where(now, flatten(layout.map(({ name }) => (shared.has(name) ? there[name] : own[name]) as tf.Tensor)), vector));
    };
    take(to.weights, to.layout);
    take(to.shadow, to.layout);
    take(to.frozen, to.frozenLayout);
    return frame;
  });
}
