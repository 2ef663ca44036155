import { type OperatorFunction, concatMap, defer, finalize, from, tap } from 'rxjs';
import * as tf from '../tf.ts';
import type { Batch, Measured, Settled } from './frames.ts';
import { OperatorError, mapTensors } from './mapTensors.ts';

/**
 * Ends the tensor stretch of a step: frees the frame, runs what was recorded as one graph, reads the metrics (one small download for all of them)
 * and passes on plain numbers. The set of tensors alive when the graph runs is the same at every step, so the graph is compiled once.
 *
 * Reads  metrics
 * Adds   metrics, as numbers; every tensor of the frame is gone
 * Timing one frame out for each frame in, when the engine has run it, in order; ends and fails with its source.
 */
export function settle<F extends Batch & Measured>(): OperatorFunction<F, Settled> {
  return (source) => defer(() => {
    // Frames that came faster than the engine runs them; what they hold is freed when the stream ends before their turn.
    const waiting = new Set<tf.Tensor>();
    return source.pipe(
      mapTensors('settle', (frame: F) => {
        const { step, epoch, ids, metrics } = frame;
        const names = Object.keys(metrics);
        return { step, epoch, ids, names, values: tf.stack(names.map((name) => metrics[name] as tf.Scalar)) };
      }),
      tap(({ values }) => { waiting.add(values); }),
      concatMap(({ names, values, ...batch }) => from((async () => {
        waiting.delete(values);
        try {
          await tf.flush();
          const numbers = await values.data();
          return { ...batch, metrics: Object.fromEntries(names.map((name, i) => [name, numbers[i] as number])) };
        } catch (cause) {
          throw new OperatorError('settle', batch, cause);
        } finally {
          values.dispose();
        }
      })())),
      finalize(() => { for (const values of waiting) values.dispose(); }),
    );
  });
}
