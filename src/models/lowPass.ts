/** Resampling by 2 under a low-pass filter, as slices and sums, which can be differentiated twice. */
import * as tf from '../tf.ts';

type Image = tf.Tensor4D;
type Axis = 1 | 2;

/** Normalised taps: `filter` convolved with [1, 1], so that [1, 2, 1] becomes [1, 3, 3, 1] / 8. */
export const lowPassTaps = (filter: readonly number[]): number[] => {
  const taps = Array.from({ length: filter.length + 1 }, (_, i) => (filter[i] ?? 0) + (filter[i - 1] ?? 0));
  const sum = taps.reduce((a, b) => a + b, 0);
  return taps.map((tap) => tap / sum);
};

const padded = (x: Image, axis: Axis, before: number, after: number): Image => {
  const sides: [number, number][] = [[0, 0], [0, 0], [0, 0], [0, 0]];
  sides[axis] = [before, after];
  return tf.pad(x, sides);
};

const cut = (x: Image, axis: Axis, from: number, length: number): Image => {
  const [begin, size] = [[0, 0, 0, 0], [...x.shape]];
  [begin[axis], size[axis]] = [from, length];
  return tf.slice(x, begin, size);
};

const total = (terms: readonly Image[]): Image => terms.reduce((a, b) => tf.add(a, b));

/** Every second value along an axis of even length: those at even places, and those at odd places. */
const phases = (x: Image, axis: Axis): readonly [Image, Image] => {
  const [b, h, w, c] = x.shape;
  const parts = axis === 1 ? tf.split(tf.reshape(x, [b, h / 2, 2, w * c]), 2, 2) : tf.split(tf.reshape(x, [b * h, w / 2, 2, c]), 2, 2);
  return parts.map((part) => tf.reshape(part, axis === 1 ? [b, h / 2, w, c] : [b, h, w / 2, c])) as unknown as readonly [Image, Image];
};

/** Alternates two images along an axis. */
const interleaved = (even: Image, odd: Image, axis: Axis): Image => {
  const [b, h, w, c] = even.shape;
  return tf.reshape(tf.stack([even, odd], axis + 1), axis === 1 ? [b, 2 * h, w, c] : [b, h, 2 * w, c]);
};

const downAlong = (x: Image, taps: readonly number[], radius: number, axis: Axis): Image => {
  const length = Math.floor((x.shape[axis] + 2 * radius - taps.length) / 2) + 1;
  const odd = (x.shape[axis] + 2 * radius) % 2;
  const parts = phases(padded(x, axis, radius, radius + odd), axis);
  return total(taps.map((tap, i) => tf.mul(cut(parts[i % 2] as Image, axis, Math.floor(i / 2), length), tap)));
};

const upAlong = (x: Image, taps: readonly number[], radius: number, axis: Axis): Image => {
  const size = x.shape[axis];
  const length = (size - 1) * 2 - 2 * radius + taps.length;
  if (length % 2 !== 0) throw new RangeError(`upsampleLowPass: expected an even number of taps but received ${taps.length}`);
  const margin = taps.length;
  const wide = padded(x, axis, margin, margin);
  const phase = (p: 0 | 1): Image => total(taps.flatMap((tap, i) => ((p + radius - i) % 2 !== 0 ? [] : [tf.mul(cut(wide, axis, margin + (p + radius - i) / 2, length / 2), 2 * tap)])));
  return interleaved(phase(0), phase(1), axis);
};

/** Halves both sides: `radius` zeros around, the filter, every second value. @param taps one-dimensional, from `lowPassTaps` */
export const downsampleLowPass = (x: Image, taps: readonly number[], radius: number): Image => downAlong(downAlong(x, taps, radius, 1), taps, radius, 2);

/** Doubles both sides: a zero after every value, the filter times 4, `radius` values off each side. */
export const upsampleLowPass = (x: Image, taps: readonly number[], radius: number): Image => upAlong(upAlong(x, taps, radius, 1), taps, radius, 2);
