/**
 * Differentiable augmentation of what a critic sees. Draws enter as tensors and shifts as matrix products, so the graph is the same at every step and can be
 * differentiated twice.
 */
import * as tf from '../tf.ts';
import { type Key, fold, integers, uniform } from '../random.ts';

type Image = tf.Tensor4D;

export const diffAugmentations = ['color', 'translation', 'cutout'] as const;
export type DiffAugmentation = (typeof diffAugmentations)[number];

/** `color,translation` and the like, as a configuration has it; empty for none. @throws RangeError naming what is not known */
export const parseDiffAugment = (policy: string): DiffAugmentation[] => policy.split(',').map((name) => name.trim()).filter((name) => name !== '').map((name) => {
  if (!(diffAugmentations as readonly string[]).includes(name)) throw new RangeError(`diffAugment: expected color, translation or cutout but received ${name}`);
  return name as DiffAugmentation;
});

const perImage = (values: Float32Array): Image => tf.tensor4d(values, [values.length, 1, 1, 1]);

const colour = (x: Image, key: Key): Image => {
  const draw = (name: string, low: number, high: number): Image => perImage(uniform(fold(key, name), x.shape[0]).map((u) => low + (high - low) * u));
  const brighter = tf.add<Image>(x, draw('brightness', -0.5, 0.5));
  const grey = tf.mean(brighter, 3, true);
  const saturated = tf.add<Image>(tf.mul(tf.sub(brighter, grey), draw('saturation', 0, 2)), grey);
  const level = tf.mean(saturated, [1, 2, 3], true);
  return tf.add(tf.mul(tf.sub(saturated, level), draw('contrast', 0.5, 1.5)), level);
};

/** Ones where input place j is output place i plus the image's shift: float32 [B, n, n]. */
const shifts = (by: Int32Array, n: number): tf.Tensor3D => {
  const places = tf.range(0, n);
  const wanted = tf.add(tf.reshape(places, [1, n, 1]), tf.tensor3d(Float32Array.from(by), [by.length, 1, 1]));
  return tf.cast(tf.equal(wanted, tf.reshape(places, [1, 1, n])), 'float32') as tf.Tensor3D;
};

const translated = (x: Image, key: Key, ratio = 0.125): Image => {
  const [b, h, w, c] = x.shape;
  const draw = (name: string, n: number): Int32Array => {
    const most = Math.floor(n * ratio + 0.5);
    return integers(fold(key, name), b, 2 * most + 1).map((i) => i - most);
  };
  const rows = tf.reshape(tf.matMul(shifts(draw('rows', h), h), tf.reshape(x, [b, h, w * c])), [b, h, w, c]);
  const turned = tf.reshape(tf.transpose(rows, [0, 2, 1, 3]), [b, w, h * c]);
  return tf.transpose(tf.reshape(tf.matMul(shifts(draw('columns', w), w), turned), [b, w, h, c]), [0, 2, 1, 3]);
};

/** Ones but for a square of half the side around a uniform centre, which may hang over the border. */
const cutMask = (key: Key, [b, h, w]: readonly [number, number, number, number], ratio = 0.5): tf.Tensor => {
  const inside = (name: string, n: number): tf.Tensor => {
    const size = Math.floor(n * ratio + 0.5);
    const from = tf.tensor2d(Float32Array.from(integers(fold(key, name), b, n + 1 - (size % 2)), (at) => at - Math.floor(size / 2)), [b, 1]);
    const places = tf.reshape(tf.range(0, n), [1, n]);
    return tf.cast(tf.logicalAnd(tf.greaterEqual(places, from), tf.less(places, tf.add(from, size))), 'float32');
  };
  return tf.sub(1, tf.mul(tf.reshape(inside('cut rows', h), [b, h, 1, 1]), tf.reshape(inside('cut columns', w), [b, 1, w, 1])));
};

/**
 * Augments every image by its own draw: brightness +-0.5, saturation times 0..2 about the pixel's mean, contrast times 0.5..1.5 about the image's mean;
 * a shift of up to an eighth, filled by zeros; one square of half the side set to zero. Apply to real and generated images alike, in both nets' steps.
 * @param x float32 [B, H, W, C], in [-1, 1]
 * @param key of this step; images and conditions under one key share geometry
 * @param options.coloured how many of the last channels are recoloured: those of the candidate, when a condition stands before it
 * @source Zhao et al. 2020, arXiv 2006.10738, section 3.2, with the ranges of mit-han-lab/data-efficient-gans
 */
export const diffAugment = (x: Image, policy: readonly DiffAugmentation[], key: Key, { coloured = x.shape[3] }: { coloured?: number } = {}): Image => {
  const rest = x.shape[3] - coloured;
  if (!(coloured >= 0 && rest >= 0)) throw new RangeError(`diffAugment: expected coloured to be at most ${x.shape[3]} channels but received ${coloured}`);
  let y = x;
  if (policy.includes('color') && coloured > 0) {
    const [condition, candidate] = rest === 0 ? [undefined, y] : tf.split(y, [rest, coloured], 3) as [Image, Image];
    y = condition ? tf.concat([condition, colour(candidate, key)], 3) : colour(candidate, key);
  }
  if (policy.includes('translation')) y = translated(y, key);
  return policy.includes('cutout') ? tf.mul(y, cutMask(key, y.shape)) : y;
};
