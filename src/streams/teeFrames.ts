import { EMPTY, type Observable, type OperatorFunction, Subject, catchError, defer, finalize, ignoreElements, map, merge, takeUntil, tap, zip } from 'rxjs';
import * as tf from '../tf.ts';
import type { Batch } from './frames.ts';
import { release } from './mapTensors.ts';

/** A frame whose tensors are clones: another owner of the same values. */
export const cloneFrame = <F>(frame: F): F => {
  if (frame instanceof tf.Tensor) return tf.clone(frame) as F;
  if (Array.isArray(frame)) return frame.map(cloneFrame) as F;
  if (frame !== null && typeof frame === 'object' && Object.getPrototypeOf(frame) === Object.prototype) {
    return Object.fromEntries(Object.entries(frame).map(([name, value]) => [name, cloneFrame(value)])) as F;
  }
  return frame;
};

/**
 * Sends each frame through several branches, in their order, each with clones of its own; emits what they made of it, together.
 *
 * Reads  what the branches read
 * Adds   a tuple of the branches' results; these hold no tensors, so a branch ends in `settle` or `releaseFrames`
 * Timing one tuple for each frame in, when the last branch is through; ends with its source or the first branch to end, fails with any of them.
 * @param branches one result for each frame, in order
 * @throws RangeError when called without branches
 */
export function teeFrames<F extends Batch, R extends readonly Batch[]>(...branches: { [K in keyof R]: OperatorFunction<F, R[K]> }): OperatorFunction<F, R> {
  if (branches.length === 0) throw new RangeError('teeFrames: expected at least one branch but received none');
  return (source) => defer(() => {
    const shared = new Subject<F>();
    const over = new Subject<void>();
    const results = branches.map((branch) => shared.pipe(map(cloneFrame), branch as OperatorFunction<F, Batch>));
    const arrivals = source.pipe(
      tap({
        next: (frame) => { try { shared.next(frame); } finally { release(frame); } },
        error: (cause) => { shared.error(cause); },
        complete: () => { shared.complete(); },
      }),
      ignoreElements(),
      catchError(() => EMPTY),
      takeUntil(over),
    );
    return merge(zip(results).pipe(finalize(() => { over.next(); })) as unknown as Observable<R>, arrivals);
  });
}
