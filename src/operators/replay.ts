import type { OperatorFunction } from 'rxjs';
import type * as tf from '../tf.ts';
import { type ReplayBuffer, type ReplayPolicy, classicHistory, remember } from '../models/replayBuffer.ts';
import { type Key, fold } from '../random.ts';
import type { Batch } from '../streams/frames.ts';
import { mapTensors } from '../streams/mapTensors.ts';

/** What replaying adds: samples of the present and of the past, by the names they were remembered under. */
export type Replayed<M extends string> = Readonly<{ replayed: Readonly<Record<M, tf.Tensor4D>> }>;

/**
 * Mixes a batch with a memory of past ones: what a critic should be shown instead of the newest images only, so that it does not forget old faults.
 *
 * Reads  what `read` reads
 * Adds   replayed  by name, float32 [B, ...]; rows of one index belong together
 * Timing one frame out for each frame in, synchronously; ends and fails with its source. The memory is the buffer's variables: it outlives the subscription.
 * @param buffer from `replayBuffer`, made beside the nets, so that checkpoints save it and the end of the run frees it
 * @param read what to remember of a frame, under the buffer's names; a conditional critic's condition belongs in it
 * @param options.policy which samples enter and leave: `classicHistory()` by default, or `seraenaHistory`
 * @param options.key draws for the policy, as functions of the step
 */
export function replay<F extends Batch, M extends string>(buffer: ReplayBuffer<M>, read: (frame: F) => Readonly<Record<M, tf.Tensor4D>>, { key, policy = classicHistory() }: {
  key: Key; policy?: ReplayPolicy;
}): OperatorFunction<F, F & Replayed<M>> {
  return mapTensors('replay', (frame) => ({ ...frame, replayed: remember(buffer, read(frame), policy, fold(key, 'replay', frame.step)) }));
}
