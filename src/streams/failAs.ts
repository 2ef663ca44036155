import { type MonoTypeOperatorFunction, catchError } from 'rxjs';
import type { Batch } from './frames.ts';
import { OperatorError } from './mapTensors.ts';

/**
 * Lets what an operator does for one frame fail under the operator's name: with the step and the images. Errors that speak for themselves (those of
 * `errors.ts`) and errors that name an operator already stay as they are.
 *
 * Timing that of its source; what fails, fails as an OperatorError.
 */
export const failAs = <A>(operator: string, frame: Batch): MonoTypeOperatorFunction<A> => catchError((cause: unknown) => {
  throw cause instanceof Error && '_tag' in cause ? cause : new OperatorError(operator, frame, cause);
});
