/**
 * Equivariance of an autoencoder's latents: the same change is made to an image and to its latent, and the decoder is to make the changed image of the changed latent.
 * Each function takes both and returns both; losses are then the autoencoder's own.
 */
import * as tf from '../tf.ts';
import { warped } from '../models/ada.ts';
import { resizeBilinear } from '../models/blocks/upsample.ts';
import { type Key, fold, integers, permute, uniform } from '../random.ts';

type Image = tf.Tensor4D;
/** An image float32 [B, H, W, C] and its latent [B, H / f, W / f, D]. */
export type Both = Readonly<{ image: Image; latent: Image }>;

/** What a step of EQ-VAE does with its batch. */
export type EqDraw = Readonly<{
  /** `equivariant`: change latent and image; `small`: a plain step on the image made smaller; `plain`: a plain step. */
  kind: 'equivariant' | 'small' | 'plain';
  /** The new side over the old one. */
  scale: number;
  /** Quarter turns, 1..3. */
  turns: number;
}>;

/**
 * One draw for a whole batch. The published scales are 8/32 .. 31/32; each scale has a graph of its own, so a short list trains sooner.
 * @param options.share of steps that are equivariant; @param options.small share of the others that are made smaller
 * @source zelaki/eqvae, `train_eqvae/ldm/models/autoencoder.py`: `p_prior`, `p_prior_s` (Kouzelis et al. 2025, arXiv 2502.09509, section 3.2)
 */
export const drawEq = (key: Key, { scales, share = 0.5, small = 0.25 }: { scales: readonly number[]; share?: number; small?: number }): EqDraw => {
  if (scales.length === 0 || !scales.every((scale) => scale > 0 && scale <= 1)) throw new RangeError(`drawEq: expected scales in (0, 1] but received [${scales.join(', ')}]`);
  const [branch, minor] = uniform(fold(key, 'branch'), 2) as unknown as [number, number];
  return {
    kind: branch < share ? 'equivariant' : minor < small ? 'small' : 'plain',
    scale: scales[integers(fold(key, 'scale'), 1, scales.length)[0] as number] as number,
    turns: 1 + (integers(fold(key, 'turns'), 1, 3)[0] as number),
  };
};

/** The published scales, 8/32 .. 31/32. */
export const eqScales: readonly number[] = Array.from({ length: 24 }, (_, i) => (i + 8) / 32);

/** Turns square images by the same number of quarter turns, counter-clockwise; the number is chosen inside the graph. @param turns one-hot float32 [4] */
export const quarterTurned = (x: Image, turns: tf.Tensor1D): Image => {
  if (x.shape[1] !== x.shape[2]) throw new RangeError(`quarterTurned: expected square images but received ${x.shape[2]} x ${x.shape[1]}`);
  const once = tf.reverse(tf.transpose(x, [0, 2, 1, 3]), 1);
  const all = tf.stack([x, once, tf.reverse(x, [1, 2]), tf.reverse(tf.transpose(x, [0, 2, 1, 3]), 2)], 0);
  return tf.sum(tf.mul(all, tf.reshape(turns, [4, 1, 1, 1, 1])), 0);
};

/** The side nearest to `scale` times the latent's, and the image's side to match. */
const sides = ({ image, latent }: Both, scale: number): { small: [number, number]; large: [number, number] } => {
  const [rows, columns] = [latent.shape[1], latent.shape[2]].map((n) => Math.max(1, Math.round(n * scale))) as [number, number];
  const factor = image.shape[1] / latent.shape[1];
  return { small: [rows, columns], large: [rows * factor, columns * factor] };
};

/** Makes image and latent smaller (bilinear, no antialiasing) and turns them, as drawn. The image's side is always the latent's times the factor. */
export const eqTransformed = (both: Both, { scale, turns }: EqDraw): Both => {
  const { small, large } = sides(both, scale);
  const choice = tf.tensor1d([0, 1, 2, 3].map((k) => (k === turns ? 1 : 0)));
  return { image: quarterTurned(resizeBilinear(both.image, ...large), choice), latent: quarterTurned(resizeBilinear(both.latent, ...small), choice) };
};

/** Values for each image: `value` with probability `share`, else `neutral`. */
const gated = (key: Key, batch: number, share: number, value: (u: number) => number, neutral: number): Float32Array => {
  const [gate, draw] = [uniform(fold(key, 'gate'), batch), uniform(fold(key, 'draw'), batch)];
  return draw.map((u, i) => ((gate[i] as number) < share ? value(u) : neutral));
};

export type AffineOptions = Readonly<{ share?: number; rotate?: number; scale?: readonly [number, number]; shear?: readonly [number, number]; shift?: number }>;

/**
 * An affine change about the middle, continued by reflection, each image by its own draw.
 * @param options.rotate largest angle in degrees; `scale` smallest and largest; `shear` largest angles in degrees along x and y; `shift` largest share of the side
 * @source KohakuBlueleaf/HakuLatent, its affine transform
 */
export const affineTransformed = ({ image, latent }: Both, key: Key, { share = 0.5, rotate = 180, scale: [low, high] = [0.8, 1.2], shear: [alongX, alongY] = [10, 5], shift = 0.1 }: AffineOptions = {}): Both => {
  const batch = image.shape[0];
  const radians = Math.PI / 180;
  const within = (name: string, most: number): Float32Array => uniform(fold(key, name), batch).map((u) => (2 * u - 1) * most);
  const on = gated(fold(key, 'affine'), batch, share, () => 1, 0);
  const [angles, shearX, shearY, moveX, moveY] = [within('angle', rotate * radians), within('shear x', alongX * radians), within('shear y', alongY * radians), within('shift x', shift), within('shift y', shift)];
  const sizes = uniform(fold(key, 'scale'), batch).map((u) => low + (high - low) * u);
  const matrices = (height: number, width: number): tf.Tensor3D => tf.tensor3d(Float32Array.from({ length: 9 * batch }, (_, at) => {
    const [i, entry] = [Math.floor(at / 9), at % 9];
    const gate = on[i] as number;
    const [a, s] = [gate * (angles[i] as number), gate === 1 ? 1 / (sizes[i] as number) : 1];
    const [p, q] = [Math.tan(gate * (shearX[i] as number)), Math.tan(gate * (shearY[i] as number))];
    const [c, d] = [Math.cos(a) * s, Math.sin(a) * s];
    return [c - d * q, c * p - d, gate * (moveX[i] as number) * width, d + c * q, d * p + c, gate * (moveY[i] as number) * height, 0, 0, 1][entry] as number;
  }), [batch, 3, 3]);
  const change = (x: Image): Image => warped(x, matrices(x.shape[1], x.shape[2]));
  return { image: change(image), latent: change(latent) };
};

/** Blends each pair with another of its batch: x (1 - a) + x[other] a, a in `range`, for a share of the batch. @source HakuLatent, its blending */
export const blended = ({ image, latent }: Both, key: Key, { share = 0.5, range: [low, high] = [0.1, 0.4] }: { share?: number; range?: readonly [number, number] } = {}): Both => {
  const batch = image.shape[0];
  const a = tf.tensor4d(gated(fold(key, 'blend'), batch, share, (u) => low + (high - low) * u, 0), [batch, 1, 1, 1]);
  const others = tf.tensor1d(Int32Array.from({ length: batch }, (_, i) => permute(fold(key, 'others'), batch, i)), 'int32');
  const change = (x: Image): Image => tf.add(x, tf.mul(a, tf.sub(tf.gather(x, others), x)));
  return { image: change(image), latent: change(latent) };
};

/**
 * Flips pairs from side to side, negating the latent's channels -4 and -3, and upside down, negating -2 and -1: those channels are to hold what turns its sign.
 * @throws RangeError for latents of fewer than 4 channels
 * @source cloneofsimo/vqgan-training, flip equivariance
 */
export const flipped = ({ image, latent }: Both, key: Key, { share = 0.5 }: { share?: number } = {}): Both => {
  const [batch, , , channels] = latent.shape;
  if (channels < 4) throw new RangeError(`flipped: expected latents of at least 4 channels but received ${channels}`);
  const along = ({ image, latent }: Both, axis: 1 | 2, name: string, first: number): Both => {
    const on = tf.tensor4d(gated(fold(key, name), batch, share, () => 1, 0), [batch, 1, 1, 1]);
    const signs = tf.tensor4d(Float32Array.from({ length: channels }, (_, i) => (i >= first && i < first + 2 ? -1 : 1)), [1, 1, 1, channels]);
    const change = (x: Image, y: Image): Image => tf.add(x, tf.mul(on, tf.sub(y, x)));
    return { image: change(image, tf.reverse(image, axis)), latent: change(latent, tf.mul(tf.reverse(latent, axis), signs)) };
  };
  return along(along({ image, latent }, 2, 'sideways', channels - 4), 1, 'upside down', channels - 2);
};

/** Cuts the same window out of image and latent, each pair by its own draw, on the latent's grid. @param options.side of the window, in latent cells */
export const cropped = ({ image, latent }: Both, key: Key, { side }: { side: number }): Both => {
  const [batch, rows, columns] = latent.shape;
  if (!Number.isInteger(side) || side < 1 || side > Math.min(rows, columns)) throw new RangeError(`cropped: expected side in 1..${Math.min(rows, columns)} but received ${side}`);
  const factor = image.shape[1] / rows;
  const [top, left] = [integers(fold(key, 'top'), batch, rows - side + 1), integers(fold(key, 'left'), batch, columns - side + 1)];
  /** Picks `n` places from `from[i]` on: [B, n, size], one 1 a row. */
  const window = (from: Int32Array, n: number, size: number, by: number): tf.Tensor3D => {
    const wanted = tf.add(tf.reshape(tf.range(0, n), [1, n, 1]), tf.mul(tf.tensor3d(Float32Array.from(from), [batch, 1, 1]), by));
    return tf.cast(tf.equal(wanted, tf.reshape(tf.range(0, size), [1, 1, size])), 'float32') as tf.Tensor3D;
  };
  const cut = (x: Image, by: number): Image => {
    const [, h, w, c] = x.shape;
    const n = side * by;
    const strips = tf.reshape(tf.matMul(window(top, n, h, by), tf.reshape(x, [batch, h, w * c])), [batch, n, w, c]);
    const turned = tf.reshape(tf.transpose(strips, [0, 2, 1, 3]), [batch, w, n * c]);
    return tf.transpose(tf.reshape(tf.matMul(window(left, n, w, by), turned), [batch, n, n, c]), [0, 2, 1, 3]);
  };
  return { image: cut(image, factor), latent: cut(latent, 1) };
};
