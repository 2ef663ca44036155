import { type OperatorFunction, map, pipe } from 'rxjs';
import type { Batch, Settled } from './frames.ts';
import { teeFrames } from './teeFrames.ts';

/**
 * Trains several methods side by side on one stream of batches: every frame goes through each of them, as clones of the same tensors, in the order in which
 * they are named. What comes out is one settled step, so `guard`, `report` and `gate.settle` follow as behind a single method.
 *
 * Reads  what the methods read
 * Adds   metrics  of all methods, as `<name>/<metric>`: `flow/denoiser.loss`
 * Timing one frame out for each frame in, when the last method has run it; ends with its source or the first method to end, fails with any of them.
 * @param methods by name, each ending in `settle`; each needs nets of its own
 * @throws RangeError without methods, or for a name with a slash
 */
export function forkMethods<F extends Batch>(methods: Readonly<Record<string, OperatorFunction<F, Settled>>>): OperatorFunction<F, Settled> {
  const names = Object.keys(methods);
  if (names.length === 0) throw new RangeError('forkMethods: expected at least one method but received none');
  const bad = names.find((name) => name === '' || name.includes('/'));
  if (bad !== undefined) throw new RangeError(`forkMethods: expected names without a slash but received ${JSON.stringify(bad)}`);
  return pipe(
    teeFrames<F, readonly Settled[]>(...Object.values(methods)),
    map((results) => {
      const { step, epoch, ids } = results[0] as Settled;
      const metrics = Object.fromEntries(results.flatMap((settled, i) => Object.entries(settled.metrics).map(([metric, value]) => [`${names[i]}/${metric}`, value])));
      return { step, epoch, ids, metrics };
    }),
  );
}
