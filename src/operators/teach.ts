import type { OperatorFunction } from 'rxjs';
import type { Codec } from '../models/codec.ts';
import type { Pair } from '../streams/frames.ts';
import type { Tensor4D } from '../tf.ts';
import { mapTensors } from '../streams/mapTensors.ts';

/** What a teacher makes of an image: float32 [B, H / factor, W / factor, channels], of about unit variance; a constant. */
export type Taught = Readonly<{ latent: Tensor4D }>;

/** An image, and what the teacher makes of it. */
export type Seen = Pair & Taught;

/**
 * Has a frozen autoencoder encode the images that students learn from.
 *
 * Reads  target  float32 [B, H, W, 3] in [-1, 1]
 * Adds   latent  float32 [B, H / factor, W / factor, channels]; no gradient
 * Timing one frame out for each frame in, synchronously; ends and fails with its source.
 */
export function teach<F extends Pair>(teacher: Codec): OperatorFunction<F, F & Taught> {
  return mapTensors('teach', (frame) => ({ ...frame, latent: teacher.encode(frame.target) }));
}
