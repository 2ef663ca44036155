import type { OperatorFunction } from 'rxjs';
import type { Batch, Prompted } from '../streams/frames.ts';
import { mapTensors } from '../streams/mapTensors.ts';
import type { Tensor3D } from '../tf.ts';

/** Makes tokens of prompts: float32 [B, tokens, width]; of undefined, those of what stands for it. Called inside a tidy, outside of any gradient. */
export type EmbedPrompts = (prompts: readonly (string | undefined)[]) => Tensor3D;

/** What a network is told of each image; undefined for one that is told nothing. */
export type Told = Readonly<{ text: Tensor3D | undefined }>;

/**
 * Embeds what is said about each pair.
 *
 * Reads  prompts  one per image, or undefined
 * Adds   text     float32 [B, tokens, width]; a constant, no gradient
 * Timing one frame out for each frame in, synchronously; ends and fails with its source.
 * @param embed a frozen text network; without one, `text` is undefined
 */
export function embedPrompts<F extends Batch & Prompted>(embed: EmbedPrompts | undefined): OperatorFunction<F, F & Told> {
  return mapTensors('embedPrompts', (frame) => ({ ...frame, text: embed?.(frame.prompts) }));
}
