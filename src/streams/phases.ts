import { type OperatorFunction, concatMap, of } from 'rxjs';
import type { Batch } from './frames.ts';

/** One stretch of a run: what its steps do, from step `from` until the next phase begins. */
export type Phase<A, B> = Readonly<{ from: number; run: OperatorFunction<A, B> }>;

/**
 * Sends each frame through the operators of the phase its step is in. Each phase records one graph, the same at all of its steps.
 *
 * Reads  step
 * Adds   what the operators of the phase add
 * Timing that of these operators; a frame waits until the one before it is through. Ends and fails with its source, and fails with a phase.
 * @param phases in order; the first is from step 0, and one that begins where the next does has no steps. Their operators are subscribed anew for each
 * frame, so they must keep nothing in their subscription from frame to frame: what has to last belongs in a resource
 * @throws RangeError when there are no phases, the first begins later than 0, or one begins before the one ahead of it
 */
export function phases<A extends Batch, B>(...list: readonly Phase<A, B>[]): OperatorFunction<A, B> {
  const starts = list.map(({ from }) => from);
  if (starts[0] !== 0 || starts.some((from, i) => !Number.isInteger(from) || from < (starts[i - 1] ?? 0))) {
    throw new RangeError(`phases: expected steps that begin with 0 and do not fall but received [${starts.join(', ')}]`);
  }
  const phaseOf = (step: number): Phase<A, B> => list.findLast(({ from }) => from <= step) as Phase<A, B>;
  return concatMap((frame) => of(frame).pipe(phaseOf(frame.step).run));
}
