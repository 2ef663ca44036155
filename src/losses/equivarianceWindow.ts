/** EQ-VAE's change of image and latent in one graph for all scales: what is drawn enters as matrices, and a window of one size is kept. */
import * as tf from '../tf.ts';
import { type Key, fold, integers } from '../random.ts';
import { type Both, quarterTurned } from './equivariance.ts';

type Image = tf.Tensor4D;

/**
 * Rows that resize `from` values to `to` bilinearly (pixel centres, no antialiasing) and keep `count` of them from `first` on: row-major [count, from].
 * @source PyTorch `interpolate`, bilinear with align_corners=False
 */
export const resizingRows = (from: number, to: number, first: number, count: number): Float32Array => {
  const rows = new Float32Array(count * from);
  for (let i = 0; i < count; i++) {
    const place = Math.max(0, (first + i + 0.5) * from / to - 0.5);
    const low = Math.min(from - 1, Math.floor(place));
    const share = low < from - 1 ? place - low : 0;
    rows[i * from + low] = 1 - share;
    if (share > 0) rows[i * from + low + 1] = share;
  }
  return rows;
};

/** Rows and columns of every image by two products: [B, H, W, C] to [B, rows, columns, C]. */
const resampled = (x: Image, rows: tf.Tensor2D, columns: tf.Tensor2D): Image => {
  const along = (y: Image, by: tf.Tensor2D): Image => {
    const [h, ...rest] = y.shape;
    return tf.reshape(tf.matMul(by, tf.reshape(y, [h, -1])), [by.shape[0], ...rest]);
  };
  // The axis to resample comes first: [H, W, B, C], then [W, H', B, C], then back.
  const tall = along(tf.transpose(x, [1, 2, 0, 3]), rows);
  return tf.transpose(along(tf.transpose(tall, [1, 0, 2, 3]), columns), [2, 1, 0, 3]);
};

/** Side of the window, in latent cells: the whole of the smallest scale. */
export const windowSide = (side: number, least: number): number => Math.max(1, Math.min(side - 1, Math.round(side * least)));

/**
 * Makes image and latent smaller by one scale for the batch, drawn from `least` up to just below 1 in steps of a latent cell, turns them by one to three quarters, and
 * cuts the same window out of both: as wide as the smallest scale, anywhere in what there is. Published changes are whole; a window of them has the same loss in
 * expectation, up to the decoder's borders.
 * @param both square images and latents
 * @param options.least smallest scale, 8/32 in the source
 * @throws RangeError when images are not square, or `least` is outside (0, 1)
 * @source zelaki/eqvae, `train_eqvae/ldm/models/autoencoder.py` (Kouzelis et al. 2025, arXiv 2502.09509, section 3.2)
 */
export const eqWindowed = ({ image, latent }: Both, key: Key, { least = 0.25 }: { least?: number } = {}): Both => {
  const [side, other] = [latent.shape[1], latent.shape[2]];
  if (side !== other) throw new RangeError(`eqWindowed: expected square images but received ${image.shape[2]} x ${image.shape[1]}`);
  if (!(least > 0 && least < 1)) throw new RangeError(`eqWindowed: expected least in (0, 1) but received ${least}`);
  const factor = image.shape[1] / side;
  const window = windowSide(side, least);
  const scaled = window + (integers(fold(key, 'scale'), 1, side - window)[0] as number);
  const [top, left] = integers(fold(key, 'place'), 2, scaled - window + 1) as unknown as [number, number];
  const turns = tf.oneHot(tf.tensor1d([1 + (integers(fold(key, 'turns'), 1, 3)[0] as number)], 'int32'), 4).toFloat().reshape([4]) as tf.Tensor1D;
  const change = (x: Image, by: number): Image => {
    const rows = (first: number): tf.Tensor2D => tf.tensor2d(resizingRows(side * by, scaled * by, first * by, window * by), [window * by, side * by]);
    return quarterTurned(resampled(x, rows(top), rows(left)), turns);
  };
  return { image: change(image, factor), latent: change(latent, 1) };
};
