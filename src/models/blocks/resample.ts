/** Halving and doubling of images, with and without parameters. */
import * as tf from '../../tf.ts';
import type { Layer, Scope } from '../network.ts';
import { conv2d } from '../nn.ts';
import { resizeNearest } from './upsample.ts';

type Image = tf.Tensor4D;

/** Mean of each 2x2 square; an odd last row or column is left out. By slices and sums, which have gradients of every order. */
export const averagePool2x = (x: Image): Image => {
  const [b, h, w, c] = x.shape;
  const [rows, columns] = [Math.floor(h / 2), Math.floor(w / 2)];
  const even = h === 2 * rows && w === 2 * columns ? x : tf.slice(x, [0, 0, 0, 0], [b, 2 * rows, 2 * columns, c]);
  return tf.mean(tf.reshape(even, [b, rows, 2, columns, 2, c]), [2, 4]) as Image;
};

/** The filter 1, 3, 3, 1, normalised. */
const fir = [1, 3, 3, 1].map((weight) => weight / 8);

/** One matrix of a separable resampling, float32 [to, from]: out[i] = sum over k of taps[k] * zero-padded up-sampled in[stride * i + k - before]. */
const firMatrix = (from: number, to: number, { up, down, before, gain }: { up: number; down: number; before: number; gain: number }): tf.Tensor2D => {
  const matrix = new Float32Array(to * from);
  for (let i = 0; i < to; i++) {
    for (const [k, weight] of fir.entries()) {
      const at = down * i + k - before;
      if (at >= 0 && at % up === 0 && at / up < from) matrix[i * from + at / up] = (matrix[i * from + at / up] as number) + gain * weight;
    }
  }
  return tf.tensor2d(matrix, [to, from]);
};

const firResample = (x: Image, factors: { up: number; down: number; before: number; gain: number }): Image => {
  const [b, h, w, c] = x.shape;
  const size = (n: number): number => Math.floor((n * factors.up) / factors.down);
  const tall = tf.matMul(firMatrix(h, size(h), factors), tf.reshape(tf.transpose(x, [1, 0, 2, 3]), [h, b * w * c]));
  const across = tf.reshape(tf.transpose(tf.reshape(tall, [size(h), b, w, c]), [2, 1, 0, 3]), [w, b * size(h) * c]);
  return tf.transpose(tf.reshape(tf.matMul(firMatrix(w, size(w), factors), across), [size(w), b, size(h), c]), [1, 2, 0, 3]);
};

/** Doubling with the filter 1, 3, 3, 1. @source Karras et al. 2019 (StyleGAN2), arXiv 1912.04958; diffusers `upsample_2d` */
export const firUpsample = (x: Image): Image => firResample(x, { up: 2, down: 1, before: 2, gain: 2 });

/** Halving with the filter 1, 3, 3, 1. @source as `firUpsample`; diffusers `downsample_2d` */
export const firDownsample = (x: Image): Image => firResample(x, { up: 1, down: 2, before: 1, gain: 1 });

/**
 * `Downsample2D` with its convolution, under `conv`.
 * @param padding 1: zeros all around; 0: zeros right and below only, as latent-diffusion autoencoders have it
 */
export const downsample = (scope: Scope, { channels, to = channels, padding = 1 }: { channels: number; to?: number; padding?: number }): Layer<[Image], Image> => {
  const conv = conv2d(scope.at('conv'), { from: channels, to, stride: 2, padding: padding === 0 ? [[0, 1], [0, 1]] : padding });
  return scope.tapped((params, x) => conv(params, x));
};

/** `Upsample2D` with its convolution, under `conv`: nearest doubling, or to the size given, then 3x3. */
export const upsample = (scope: Scope, { channels, to = channels }: { channels: number; to?: number }): Layer<[image: Image, size?: readonly [number, number]], Image> => {
  const conv = conv2d(scope.at('conv'), { from: channels, to, padding: 1 });
  return scope.tapped((params, x, size) => {
    const [height, width] = size ?? [x.shape[1] * 2, x.shape[2] * 2];
    return conv(params, resizeNearest(x, height, width));
  });
};
