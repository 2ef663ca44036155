import * as tf from '../tf.ts';
import type { View } from '../models/vae.ts';

type Image = tf.Tensor4D;

const middle = (x: Image, side: number): Image => {
  const [b, h, w, c] = x.shape;
  return tf.slice(x, [0, Math.floor((h - side) / 2), Math.floor((w - side) / 2), 0], [b, side, side, c]);
};

/** Views of several sizes as one batch for a critic: of each the middle, as large as the smallest. One view stays as it is. */
export const alike = (views: readonly View[]): Readonly<{ real: Image; fake: Image }> => {
  const side = Math.min(...views.flatMap(({ image }) => [image.shape[1], image.shape[2]]));
  const together = (images: readonly Image[]): Image => (images.length === 1 ? tf.clone(images[0] as Image) : tf.concat(images.map((x) => middle(x, side)), 0));
  return { real: together(views.map(({ image }) => image)), fake: together(views.map(({ output }) => output)) };
};
