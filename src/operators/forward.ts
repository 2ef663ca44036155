import type { OperatorFunction } from 'rxjs';
import { type Net, applyNet, paramsOf } from '../models/net.ts';
import type { Batch } from '../streams/frames.ts';
import { mapTensors } from '../streams/mapTensors.ts';
import type { Predict } from './backward.ts';

/**
 * Runs a network as a constant: no gradient, weights as they are now.
 *
 * Reads  what `predict` reads
 * Adds   what `predict` returns
 * Timing one frame out for each frame in, synchronously; ends and fails with its source.
 * @param from `shadow` runs the EMA instead of the weights
 */
export function forward<F extends Batch, I extends readonly unknown[], O, P extends object>(
  net: Net<I, O>, predict: Predict<I, O, F, P>, from: 'weights' | 'shadow' = 'weights',
): OperatorFunction<F, F & P> {
  return mapTensors(`forward(${net.name})`, (frame: F) => ({ ...frame, ...predict(applyNet(net, from), frame, paramsOf(net, from)) }));
}
