import * as tf from '../tf.ts';
import type { Key } from '../random.ts';

type Image = tf.Tensor4D;

/** Augments what a critic sees: draws from a key of this step, and of this kind of image. How often may change with the step, as a tensor. */
export type CriticAugment = (images: Image, key: Key, step: number) => Image;

/**
 * A critic of one kind of image under augmentation. A condition of rank 4 goes through it with its image, before it on the channel axis, so that both stay one pair.
 * @param apply the critic @param at.condition what the images belong to @param at.key of this step and kind of image
 */
export const augmentedCritic = <C extends tf.Tensor>(apply: (image: Image, condition?: C) => tf.Tensor, { condition, augment, key, step }: {
  condition?: C | undefined; augment?: CriticAugment | undefined; key: Key; step: number;
}) => (image: Image): tf.Tensor => {
  if (!augment || condition?.rank !== 4) return apply(augment ? augment(image, key, step) : image, condition);
  const [beside, candidate] = tf.split(augment(tf.concat([condition as unknown as Image, image], 3), key, step), [condition.shape[3] as number, image.shape[3]], 3);
  return apply(candidate as Image, beside as unknown as C);
};
