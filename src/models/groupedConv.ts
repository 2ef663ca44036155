import * as tf from '../tf.ts';

/**
 * Convolution of stride 1 in groups: output group g sees input group g only. As patches times matrices, one batched product, which can be differentiated twice.
 * @param x float32 [B, H, W, C]
 * @param weight float32 [out, C / groups, k, k], PyTorch's layout, k odd; zeros around the input keep its size
 * @throws RangeError when `groups` does not divide both channel counts
 */
export const groupedConvolve = (x: tf.Tensor4D, weight: tf.Tensor4D, groups: number): tf.Tensor4D => {
  const [b, h, w, c] = x.shape;
  const [out, fan, k] = weight.shape;
  if (out % groups !== 0 || fan * groups !== c) throw new RangeError(`groupedConvolve: expected ${groups} groups to divide ${c} and ${out} channels, weights for ${c / groups} a group, but received weights for ${fan}`);
  const radius = (k - 1) / 2;
  const padded = radius === 0 ? x : tf.pad(x, [[0, 0], [radius, radius], [radius, radius], [0, 0]]);
  const patches = Array.from({ length: k * k }, (_, i) => tf.reshape(tf.slice(padded, [0, Math.floor(i / k), i % k, 0], [b, h, w, c]), [b * h * w, groups, fan]));
  const rows = tf.transpose(k === 1 ? patches[0] as tf.Tensor3D : tf.concat(patches as tf.Tensor3D[], 2), [1, 0, 2]);
  const columns = tf.reshape(tf.transpose(tf.reshape(weight, [groups, out / groups, fan, k * k]), [0, 3, 2, 1]), [groups, k * k * fan, out / groups]);
  return tf.reshape(tf.transpose(tf.matMul(rows, columns), [1, 0, 2]), [b, h, w, out]);
};
