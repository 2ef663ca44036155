import { map, type OperatorFunction } from 'rxjs';
import * as tf from '../tf.ts';
import type { Batch } from './frames.ts';

/** An operator failed: which one, at which step, on which images. */
export class OperatorError extends Error {
  readonly _tag = 'OperatorError';
  readonly operator: string;
  readonly step: number;
  readonly ids: readonly string[];
  constructor(operator: string, { step, ids }: Batch, cause: unknown) {
    super(`${operator} failed at step ${step} on [${ids.join(', ')}]: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.name = 'OperatorError';
    this.operator = operator;
    this.step = step;
    this.ids = ids;
  }
}

/** The tensors in a frame, at any depth of plain records and arrays. */
export const tensorsOf = (value: unknown): tf.Tensor[] => {
  if (value instanceof tf.Tensor) return [value];
  if (Array.isArray(value)) return value.flatMap(tensorsOf);
  if (value !== null && typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype) return Object.values(value).flatMap(tensorsOf);
  return [];
};

/** Frees every tensor in a frame. */
export const release = (frame: unknown): void => { tf.dispose(frame as tf.TensorContainer); };

/**
 * Maps a frame of tensors and settles who owns them: `project` runs in a tidy, input tensors that are missing from its result are freed, and all
 * are freed when it throws.
 *
 * Timing: one frame out for each frame in, synchronously.
 * @param operator the name errors carry
 * @param project returns the next frame; tensors it made and does not return are freed. Variables are spared.
 * @throws OperatorError (as the stream's error) when `project` throws
 */
export const mapTensors = <A extends Batch, B>(operator: string, project: (frame: A) => B): OperatorFunction<A, B> => map((frame) => {
  try {
    const next = tf.tidy(() => project(frame) as tf.TensorContainer) as B;
    const kept = new Set(tensorsOf(next).map(({ id }) => id));
    for (const tensor of tensorsOf(frame)) if (!kept.has(tensor.id) && !(tensor instanceof tf.Variable)) tensor.dispose();
    return next;
  } catch (cause) {
    release(frame);
    throw cause instanceof OperatorError ? cause : new OperatorError(operator, frame, cause);
  }
});
