import { type OperatorFunction, map } from 'rxjs';
import type { Batch } from './frames.ts';
import { release } from './mapTensors.ts';

/**
 * Ends a tensor stretch that measures nothing (`settle` ends one that does): frees the frame and passes on its position and names.
 *
 * Adds   nothing; every tensor of the frame is gone
 * Timing one frame out for each frame in, synchronously; ends and fails with its source.
 */
export const releaseFrames = <F extends Batch>(): OperatorFunction<F, Batch> => map((frame) => {
  const { step, epoch, ids } = frame;
  release(frame);
  return { step, epoch, ids };
});
