import * as tf from '../tf.ts';
import { type Key, normal } from '../random.ts';
import { resizeNearest } from './blocks/upsample.ts';
import type { Network } from './network.ts';
import { pairCritic } from './pairCritic.ts';
import { r3ganCritic, r3ganGenerator } from './r3gan.ts';
import { lowToHigh, r3ganSizes, r3ganTranslator, stagesOf } from './r3ganTranslator.ts';

type Image = tf.Tensor4D;
type Widths = Readonly<{ base: number; most: number; blocks: number }>;

/** The two sides of a game. Both take all there is, and ignore what the game is not played with. */
export type R3ganGame = Readonly<{
  /** `(source, noise) -> image`: float32 [B, H, W, 3] and [B, noise] to [B, H, W, 3]. */
  generator: Network<[source: Image, noise: tf.Tensor2D], Image>;
  /** `(image, source?) -> logits [B]`; looks at the source where it judges pairs. */
  critic: Network<[image: Image, condition?: Image], tf.Tensor1D>;
}>;

/**
 * Generator and critic of one game: on pairs a translator and a critic that sees the source beside the image, from noise the published pair.
 * @param options.size of the training images: 4 * 2^n px; a drawn image is of that size, and enlarged where another is asked for
 * @throws RangeError for sizes that do not fit
 */
export const r3ganGame = ({ from, size, noise, generator, critic }: {
  from: 'source' | 'noise'; size: number; noise: number; generator: Widths & Readonly<{ stages: number }>; critic: Widths;
}): R3ganGame => {
  const judge = r3ganCritic({ channels: from === 'source' ? 6 : 3, ...r3ganSizes({ ...critic, stages: stagesOf(size) }) });
  if (from === 'source') {
    const translator = r3ganTranslator(r3ganSizes(generator));
    return { generator: { ...translator, apply: (params, source) => translator.apply(params, source) }, critic: pairCritic(judge) };
  }
  const drawing = r3ganGenerator({ noise, ...lowToHigh(r3ganSizes({ ...generator, stages: stagesOf(size) })) });
  const fit = (image: Image, [, height, width]: Image['shape']): Image => (height === size && width === size ? image : resizeNearest(image, height, width));
  return { generator: { ...drawing, apply: (params, source, z) => fit(drawing.apply(params, z), source.shape) }, critic: { ...judge, apply: (params, image) => judge.apply(params, image) } };
};

/** One unit-normal vector per key: float32 [B, length]. */
export const noiseOf = (keys: readonly Key[], length: number): tf.Tensor2D => tf.tensor2d(keys.map((key) => [...normal(key, length)]), [keys.length, length]);
