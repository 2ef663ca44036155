import { type MonoTypeOperatorFunction, filter } from 'rxjs';
import type { CreditGate } from './creditGate.ts';
import type { Batch } from './frames.ts';
import { OperatorError, release } from './mapTensors.ts';

/**
 * Lets through the frames that `keep` says yes to. The others are freed and their credit is returned, so that the next batch is drawn for them.
 *
 * Reads  what `keep` reads
 * Timing none or one frame out for each frame in, synchronously; ends and fails with its source.
 * @param gate the gate the frames were drawn by
 * @param keep judges a frame by what is known without running the engine: names, sizes, positions
 * @throws OperatorError (as the stream's error) when `keep` throws; the frame is freed
 */
export const filterFrames = <F extends Batch>(gate: Pick<CreditGate, 'drop'>, keep: (frame: F) => boolean): MonoTypeOperatorFunction<F> => filter((frame) => {
  try {
    if (keep(frame)) return true;
  } catch (cause) {
    release(frame);
    throw new OperatorError('filterFrames', frame, cause);
  }
  release(frame);
  gate.drop(frame);
  return false;
});
