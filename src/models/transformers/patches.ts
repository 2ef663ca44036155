/** Images to tokens and back, and where a token is. */
import * as tf from '../../tf.ts';
import { type Layer, type Scope, param } from '../network.ts';
import { conv2d } from '../nn.ts';
import type { Tokens } from './adaNorm.ts';

type Image = tf.Tensor4D;

/**
 * Sinusoids of a grid's positions: the first half of the channels tells the column, the second the row; sines before cosines in each.
 * @param base side of the grid the model was made for; positions are stretched to it @param scale divides positions
 * @returns row-major [rows * columns * channels]
 * @source diffusers `get_2d_sincos_pos_embed`; He et al. 2022, arXiv 2111.06377
 */
export const sincosPositions = ({ rows, columns, channels, base, scale = 1 }: { rows: number; columns: number; channels: number; base: number; scale?: number }): Float32Array => {
  if (channels % 4 !== 0) throw new RangeError(`sincosPositions: expected channels to be a multiple of 4 but received ${channels}`);
  const quarter = channels / 4;
  const omega = Float64Array.from({ length: quarter }, (_, k) => 10_000 ** (-k / quarter));
  const out = new Float32Array(rows * columns * channels);
  const place = (i: number, count: number): number => Math.fround(Math.fround(i / Math.fround(count / base)) / scale);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const at = (row * columns + column) * channels;
      for (const [half, position] of [place(column, columns), place(row, rows)].entries()) {
        for (let k = 0; k < quarter; k++) {
          const angle = position * (omega[k] as number);
          out[at + half * 2 * quarter + k] = Math.sin(angle);
          out[at + (half * 2 + 1) * quarter + k] = Math.cos(angle);
        }
      }
    }
  }
  return out;
};

export type PatchOptions = Readonly<{
  channels: number;
  to: number;
  /** Side of a patch in pixels. */
  patch: number;
  /** Side of the image the model was made for, in pixels. */
  sampleSize: number;
  /** What positions are divided by; null leaves positions out. */
  scale?: number | null;
  /** Side of a stored table of positions, of which the centre is cut out; computed for the image's size where there is none. */
  tableSize?: number | null;
}>;

/** `PatchEmbed`: a convolution with stride, and positions. `proj.weight`, `proj.bias` and, with a table, the buffer `pos_embed`. @returns [B, N, to] */
export const patchEmbed = (scope: Scope, { channels, to, patch, sampleSize, scale = 1, tableSize = null }: PatchOptions): Layer<[Image], Tokens> => {
  const project = conv2d(scope.at('proj'), { from: channels, to, kernel: patch, stride: patch });
  const base = Math.floor(sampleSize / patch);
  const table = tableSize === null ? undefined : scope.param('pos_embed', [1, tableSize ** 2, to], () => sincosPositions({ rows: tableSize, columns: tableSize, channels: to, base, ...(scale !== null && { scale }) }), { buffer: true });
  return scope.tapped((params, x) => {
    const patches = project(params, x);
    const [batch, rows, columns] = patches.shape;
    const tokens = tf.reshape(patches, [batch, rows * columns, to]) as Tokens;
    if (table !== undefined && tableSize !== null) {
      if (rows > tableSize || columns > tableSize) throw new RangeError(`patchEmbed: expected at most ${tableSize} x ${tableSize} patches but received ${rows} x ${columns}`);
      const grid = tf.reshape(param(params, table), [tableSize, tableSize, to]) as tf.Tensor3D;
      const centre = tf.slice3d(grid, [Math.floor((tableSize - rows) / 2), Math.floor((tableSize - columns) / 2), 0], [rows, columns, to]);
      return tf.add(tokens, tf.reshape(centre, [1, rows * columns, to]));
    }
    if (scale === null) return tokens;
    return tf.add(tokens, tf.tensor3d(sincosPositions({ rows, columns, channels: to, base, scale }), [1, rows * columns, to]));
  });
};

/** Tokens of patches, [B, rows * columns, patch^2 * C] in the order (row, column, channel), to an image. */
export const unpatch = (tokens: tf.Tensor, { rows, columns, patch }: { rows: number; columns: number; patch: number }): Image => {
  const [batch, , width] = tokens.shape as [number, number, number];
  const channels = width / patch ** 2;
  // One axis at a time, so that no tensor has a rank above 4.
  const lines = tf.transpose(tf.reshape(tokens, [batch * rows, columns, patch, patch * channels]), [0, 2, 1, 3]);
  return tf.reshape(lines, [batch, rows * patch, columns * patch, channels]) as Image;
};
