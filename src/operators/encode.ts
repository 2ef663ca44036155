import type { OperatorFunction } from 'rxjs';
import type { Codec, Latents } from '../models/codec.ts';
import type { Pair } from '../streams/frames.ts';
import { mapTensors } from '../streams/mapTensors.ts';

/**
 * Takes both images of a pair into the space the method works in.
 *
 * Reads  source, target              float32 [B, H, W, 3] in [-1, 1]
 * Adds   sourceLatent, targetLatent  float32 [B, H / factor, W / factor, channels]; constants, no gradient
 * Timing one frame out for each frame in, synchronously; ends and fails with its source.
 * @param codec `identity` for pixel space, or a frozen autoencoder
 */
export function encode<F extends Pair>(codec: Codec): OperatorFunction<F, F & Latents> {
  return mapTensors('encode', (frame) => ({ ...frame, sourceLatent: codec.encode(frame.source), targetLatent: codec.encode(frame.target) }));
}
