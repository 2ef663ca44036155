import * as tf from '../tf.ts';

type Image = tf.Tensor4D;

/** Stands in for minus infinity outside the image; finite, since 0 times infinity in a gradient is not a number. */
const outside = -1e30;

const poolAlong = (x: Image, size: number, axis: 1 | 2, ceil: boolean): Image => {
  const [b, h, w, c] = x.shape;
  const length = x.shape[axis];
  const out = Math[ceil ? 'ceil' : 'floor']((length - size) / 2) + 1;
  if (out < 1) throw new RangeError(`maxPool: expected at least ${size} px but received ${w} x ${h}`);
  // The pairs that windows reach into: window i covers pairs i .. i + ceil(size / 2) - 1.
  const pairs = out + Math.ceil(size / 2) - 1;
  const missing = Math.max(0, 2 * pairs - length);
  const sides: [number, number][] = [[0, 0], [0, 0], [0, 0], [0, 0]];
  sides[axis] = [0, missing];
  const padded = missing > 0 ? tf.pad(x, sides, outside) : x;
  const used = tf.slice(padded, [0, 0, 0, 0], axis === 1 ? [b, 2 * pairs, w, c] : [b, h, 2 * pairs, c]);
  const split = axis === 1 ? tf.split(tf.reshape(used, [b, pairs, 2, w * c]), 2, 2) : tf.split(tf.reshape(used, [b * h, pairs, 2, c]), 2, 2);
  const phases = split.map((phase) => tf.reshape(phase, axis === 1 ? [b, pairs, w, c] : [b, h, pairs, c]) as Image);
  const shape: Image['shape'] = axis === 1 ? [b, out, w, c] : [b, h, out, c];
  return Array.from({ length: size }, (_, i) => tf.slice(phases[i % 2] as Image, axis === 1 ? [0, Math.floor(i / 2), 0, 0] : [0, 0, Math.floor(i / 2), 0], shape)).reduce((a, y) => tf.maximum(a, y));
};

/**
 * `nn.MaxPool2d` of stride 2 without padding, as slices and maxima, which every executor has.
 * @param x float32 [B, H, W, C]
 * @param size side of the window: 2 or 3
 * @param options.ceil whether windows may hang over the end, as `ceil_mode`
 * @throws RangeError when the image is smaller than a window
 */
export const maxPool = (x: Image, size: number, { ceil = false }: { ceil?: boolean } = {}): Image => poolAlong(poolAlong(x, size, 1, ceil), size, 2, ceil);
