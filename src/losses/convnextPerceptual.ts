/** A perceptual loss on ConvNeXt's layers. */
import * as tf from '../tf.ts';
import { l1 } from './l1.ts';
import { mse } from './mse.ts';

type Image = tf.Tensor4D;
type Trunk = (image: Image) => readonly Image[];

export type ConvnextPerceptualOptions = Readonly<{
  /** Layers to compare, from 0; every second one up to 14 by default. */
  layers?: readonly number[];
  /** Layer i of the list has weight decay^i over the sum of all; 1. */
  decay?: number;
  /** Compare Gram matrices by their absolute difference (true, texture without place) or features by their squared one. */
  gram?: boolean;
}>;

const mean = [0.485, 0.456, 0.406] as const;
const deviation = [0.229, 0.224, 0.225] as const;

/** Products of every two channels, summed over places: float32 [B, C, C], over C H W. */
const gramOf = (f: Image): tf.Tensor3D => {
  const [b, h, w, c] = f.shape;
  const flat = tf.reshape(f, [b, h * w, c]);
  return tf.div(tf.matMul(flat, flat, true, false), c * h * w);
};

/**
 * The weighted distance of the layers' outputs. No gradient flows into the target.
 * @param trunk a frozen `convnext`, with at least the layers compared
 * @param prediction, target float32 [B, H, W, 3] in [-1, 1]
 * @throws RangeError when the trunk has fewer layers than are asked for
 * @source sypsyp97/convnext_perceptual_loss
 */
export const convnextPerceptual = (trunk: Trunk, prediction: Image, target: Image, { layers = [0, 2, 4, 6, 8, 10, 12, 14], decay = 1, gram = true }: ConvnextPerceptualOptions = {}): tf.Scalar => {
  const prepared = (x: Image): Image => tf.div(tf.sub(tf.div(tf.add(x, 1), 2), [...mean]), [...deviation]);
  const [ours, theirs] = [trunk(prepared(prediction)), trunk(prepared(target))];
  const total = layers.reduce((sum, _, i) => sum + decay ** i, 0);
  return layers.map((layer, i) => {
    const [a, b] = [ours[layer], theirs[layer]];
    if (!a || !b) throw new RangeError(`convnextPerceptual: expected a trunk of more than ${layer} layers but received ${ours.length}`);
    return tf.mul(gram ? l1(gramOf(a), gramOf(b)) : mse(a, b), decay ** i / total) as tf.Scalar;
  }).reduce((x, y) => tf.add(x, y));
};
