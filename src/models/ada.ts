/**
 * Adaptive discriminator augmentation: each of a list of changes happens to an image with probability multiplier * p. Draws and p enter as tensors, and the gates are
 * in the graph, so p may itself be a variable of the run.
 * @source Karras et al. 2020, arXiv 2006.06676, appendix B, with the constants of NVlabs/stylegan2-ada-pytorch. One difference: images are resampled bilinearly, without
 * the source's wavelet low-pass filter and margins
 */
import * as tf from '../tf.ts';
import { type Key, fold, normal, uniform } from '../random.ts';
import type { Course } from '../schedules/course.ts';
import type { CriticAugment } from './augmentedCritic.ts';

type Image = tf.Tensor4D;

/** How often each change happens, as a multiple of p; 0 leaves it out of the graph. */
export type AdaMultipliers = Readonly<Record<
  'flip' | 'rotate90' | 'shift' | 'scale' | 'rotate' | 'stretch' | 'fractionalShift' | 'brightness' | 'contrast' | 'lumaFlip' | 'hue' | 'saturation' | 'noise' | 'cutout', number>>;

const none: AdaMultipliers = { flip: 0, rotate90: 0, shift: 0, scale: 0, rotate: 0, stretch: 0, fractionalShift: 0, brightness: 0, contrast: 0, lumaFlip: 0, hue: 0, saturation: 0, noise: 0, cutout: 0 };
const geometric = { flip: 1, rotate90: 1, shift: 1, scale: 1, rotate: 1, stretch: 1, fractionalShift: 1 } as const;
const colours = { brightness: 1, contrast: 1, lumaFlip: 1, hue: 1, saturation: 1 } as const;

/** The published sets: `bgc` is the default of StyleGAN2-ADA, `r3gan` what R3GAN trains with. */
export const adaSets = {
  b: { ...none, flip: 1, rotate90: 1, shift: 1 },
  bg: { ...none, ...geometric },
  bgc: { ...none, ...geometric, ...colours },
  r3gan: { ...none, ...geometric, brightness: 0.5, contrast: 0.5, lumaFlip: 0.5, hue: 0.5, saturation: 0.5, cutout: 1 },
} as const satisfies Readonly<Record<string, AdaMultipliers>>;

/** For critics, at a probability that is a function of the step; undefined, where nothing is to happen at all, leaves it out of the graph. */
export const adaOver = (multipliers: AdaMultipliers, p: Course | undefined): CriticAugment | undefined =>
  p && ((images, key, step) => adaAugment(images, multipliers, tf.scalar(p(step)), key));

/** What an augmentation needs of its surroundings. */
type Draws = Readonly<{ batch: number; p: tf.Scalar; key: Key }>;

/** Draws of one change, gated: [B] values where it happens, `neutral` elsewhere. */
const gated = ({ batch, p, key }: Draws, name: string, multiplier: number, values: Float32Array, neutral: number, chance = (): tf.Tensor => tf.mul(p, multiplier)): tf.Tensor1D =>
  tf.where(tf.less(tf.tensor1d(uniform(fold(key, name, 'gate'), batch)), chance()), tf.tensor1d(values), tf.fill([batch], neutral));

const drawn = ({ batch, key }: Draws, name: string): { uniform: Float32Array; normal: Float32Array } =>
  ({ uniform: uniform(fold(key, name, 'draw'), batch), normal: normal(fold(key, name, 'draw'), batch) });

/** Rows of [B, n, n] matrices from [B] entries and numbers. */
const matrix = (batch: number, rows: readonly (readonly (tf.Tensor1D | number)[])[]): tf.Tensor3D =>
  tf.stack(rows.map((row) => tf.stack(row.map((entry) => (typeof entry === 'number' ? tf.fill([batch], entry) : entry)), 1)), 1) as tf.Tensor3D;

/** Where output pixels come from: [B, 3, 3] on (x, y, 1), in pixels from the image's middle. */
const geometry = (draws: Draws, m: AdaMultipliers, height: number, width: number): tf.Tensor3D | undefined => {
  const { batch, p } = draws;
  const scaling = (x: tf.Tensor1D, y: tf.Tensor1D): tf.Tensor3D => matrix(batch, [[x, 0, 0], [0, y, 0], [0, 0, 1]]);
  const moving = (x: tf.Tensor1D, y: tf.Tensor1D): tf.Tensor3D => matrix(batch, [[1, 0, tf.neg(x)], [0, 1, tf.neg(y)], [0, 0, 1]]);
  const turning = (angle: tf.Tensor1D): tf.Tensor3D => matrix(batch, [[tf.cos(angle), tf.neg(tf.sin(angle)), 0], [tf.sin(angle), tf.cos(angle), 0], [0, 0, 1]]);
  const power = (name: 'scale' | 'stretch'): tf.Tensor1D => gated(draws, name, m[name], drawn(draws, name).normal.map((n) => 2 ** (-0.2 * n)), 1);
  const angle = (name: string): tf.Tensor1D => gated(draws, name, m.rotate, drawn(draws, name).uniform.map((u) => (2 * u - 1) * Math.PI), 0,
    // Two turns of which at least one happens with the wanted probability.
    () => tf.sub(1, tf.sqrt(tf.clipByValue(tf.sub(1, tf.mul(p, m.rotate)), 0, 1))));
  const steps: tf.Tensor3D[] = [];
  if (m.flip > 0) steps.push(scaling(gated(draws, 'flip', m.flip, drawn(draws, 'flip').uniform.map((u) => (u < 0.5 ? 1 : -1)), 1), tf.ones([batch])));
  if (m.rotate90 > 0) steps.push(turning(gated(draws, 'rotate90', m.rotate90, drawn(draws, 'rotate90').uniform.map((u) => (Math.PI / 2) * Math.floor(4 * u)), 0)));
  const shifted = (name: 'shift' | 'fractionalShift', values: (axis: string, size: number) => Float32Array): void => {
    // One gate for both axes.
    const both = (['x', 'y'] as const).map((axis) => gated(draws, name, m[name], values(`${name} ${axis}`, axis === 'x' ? width : height), 0));
    steps.push(moving(both[0] as tf.Tensor1D, both[1] as tf.Tensor1D));
  };
  if (m.shift > 0) shifted('shift', (name, size) => drawn(draws, name).uniform.map((u) => Math.round((2 * u - 1) * 0.125 * size)));
  if (m.scale > 0) { const s = power('scale'); steps.push(scaling(s, s)); }
  if (m.rotate > 0) steps.push(turning(angle('rotate before')));
  if (m.stretch > 0) { const s = power('stretch'); steps.push(scaling(s, tf.div(1, s) as tf.Tensor1D)); }
  if (m.rotate > 0) steps.push(turning(angle('rotate after')));
  if (m.fractionalShift > 0) shifted('fractionalShift', (name, size) => drawn(draws, name).normal.map((n) => n * 0.125 * size));
  return steps.length === 0 ? undefined : steps.reduce((a, b) => tf.matMul(a, b));
};

/** Folds coordinates into 0..n-1 by reflection, the edge not repeated. */
const reflected = (at: tf.Tensor, n: number): tf.Tensor => {
  if (n === 1) return tf.zerosLike(at);
  const around = tf.mod(at, 2 * (n - 1));
  return tf.minimum(around, tf.sub(2 * (n - 1), around));
};

/** Reads every image at its own affine grid, bilinearly, continued by reflection. @param from float32 [B, 3, 3], see `geometry` */
export const warped = (x: Image, from: tf.Tensor3D): Image => {
  const [b, h, w, c] = x.shape;
  const [middleX, middleY] = [(w - 1) / 2, (h - 1) / 2];
  const grid = tf.tensor2d(Float32Array.from({ length: 3 * h * w }, (_, i) => [i % (h * w) % w - middleX, Math.floor(i % (h * w) / w) - middleY, 1][Math.floor(i / (h * w))] as number), [3, h * w]);
  const [atX, atY] = tf.split(tf.reshape(tf.matMul(tf.reshape(from, [b * 3, 3]), grid), [b, 3, h * w]), [1, 1, 1], 1) as [tf.Tensor, tf.Tensor, tf.Tensor];
  const [u, v] = [reflected(tf.add(atX, middleX), w), reflected(tf.add(atY, middleY), h)];
  const [left, top] = [tf.floor(u), tf.floor(v)];
  const flat = tf.reshape(x, [b * h * w, c]);
  const first = tf.mul(tf.reshape(tf.range(0, b), [b, 1, 1]), h * w);
  const read = (row: tf.Tensor, column: tf.Tensor): tf.Tensor => tf.gather(flat, tf.reshape(tf.cast(tf.add(first, tf.add(tf.mul(row, w), column)), 'int32'), [-1]));
  const share = (y: tf.Tensor): tf.Tensor => tf.reshape(y, [b * h * w, 1]);
  const mix = (p: tf.Tensor, q: tf.Tensor, t: tf.Tensor): tf.Tensor => tf.add(p, tf.mul(tf.sub(q, p), t));
  const [right, bottom] = [tf.minimum(tf.add(left, 1), w - 1), tf.minimum(tf.add(top, 1), h - 1)];
  const [alongX, alongY] = [share(tf.sub(u, left)), share(tf.sub(v, top))];
  return tf.reshape(mix(mix(read(top, left), read(top, right), alongX), mix(read(bottom, left), read(bottom, right), alongX), alongY), [b, h, w, c]);
};

/** Matrices on (r, g, b, 1): [B, 4, 4]. */
const recolouring = (draws: Draws, m: AdaMultipliers): tf.Tensor3D | undefined => {
  const { batch } = draws;
  const steps: tf.Tensor3D[] = [];
  /** Along the grey axis times `grey`, across it times `across`, turned about it by cosine and sine. */
  const aboutGrey = (grey: tf.Tensor1D | number, cosine: tf.Tensor1D | number, sine: tf.Tensor1D | number): tf.Tensor3D => {
    const even = tf.div(tf.sub(grey, cosine), 3);
    const own = tf.add(even, cosine) as tf.Tensor1D;
    const odd = tf.div(sine, Math.sqrt(3));
    const [minus, plus] = [tf.sub(even, odd), tf.add(even, odd)] as [tf.Tensor1D, tf.Tensor1D];
    return matrix(batch, [[own, minus, plus, 0], [plus, own, minus, 0], [minus, plus, own, 0], [0, 0, 0, 1]]);
  };
  if (m.brightness > 0) {
    const b = gated(draws, 'brightness', m.brightness, drawn(draws, 'brightness').normal.map((n) => 0.2 * n), 0);
    steps.push(matrix(batch, [[1, 0, 0, b], [0, 1, 0, b], [0, 0, 1, b], [0, 0, 0, 1]]));
  }
  if (m.contrast > 0) {
    const c = gated(draws, 'contrast', m.contrast, drawn(draws, 'contrast').normal.map((n) => 2 ** (0.5 * n)), 1);
    steps.push(matrix(batch, [[c, 0, 0, 0], [0, c, 0, 0], [0, 0, c, 0], [0, 0, 0, 1]]));
  }
  if (m.lumaFlip > 0) steps.push(aboutGrey(gated(draws, 'lumaFlip', m.lumaFlip, drawn(draws, 'lumaFlip').uniform.map((u) => (u < 0.5 ? 1 : -1)), 1), 1, 0));
  if (m.hue > 0) {
    const angle = gated(draws, 'hue', m.hue, drawn(draws, 'hue').uniform.map((u) => (2 * u - 1) * Math.PI), 0);
    steps.push(aboutGrey(1, tf.cos(angle), tf.sin(angle)));
  }
  if (m.saturation > 0) steps.push(aboutGrey(1, gated(draws, 'saturation', m.saturation, drawn(draws, 'saturation').normal.map((n) => 2 ** n), 1), 0));
  return steps.length === 0 ? undefined : steps.reduce((sofar, step) => tf.matMul(step, sofar));
};

/** @param x float32 [B, H, W, 3] @param by [B, 4, 4] on (r, g, b, 1) */
const recoloured = (x: Image, by: tf.Tensor3D): Image => {
  const [b, h, w] = x.shape;
  const pixels = tf.concat([tf.reshape(x, [b, h * w, 3]), tf.ones([b, h * w, 1])], 2);
  return tf.reshape(tf.matMul(pixels, tf.slice(by, [0, 0, 0], [b, 3, 4]), false, true), [b, h, w, 3]);
};

const noisy = (x: Image, draws: Draws, multiplier: number): Image => {
  const sigma = gated(draws, 'noise', multiplier, drawn(draws, 'noise').normal.map((n) => 0.1 * Math.abs(n)), 0);
  return tf.add(x, tf.mul(tf.tensor4d(normal(fold(draws.key, 'noise', 'pixels'), x.size), x.shape), tf.reshape(sigma, [-1, 1, 1, 1])));
};

/** A rectangle of half the sides around a uniform centre set to 0. */
const holed = (x: Image, draws: Draws, multiplier: number): Image => {
  const [b, h, w] = x.shape;
  const half = gated(draws, 'cutout', multiplier, new Float32Array(b).fill(0.25), 0);
  const near = (axis: string, n: number): tf.Tensor => {
    const centres = tf.tensor2d(drawn(draws, `cutout ${axis}`).uniform, [b, 1]);
    return tf.cast(tf.less(tf.abs(tf.sub(tf.reshape(tf.div(tf.add(tf.range(0, n), 0.5), n), [1, n]), centres)), tf.reshape(half, [b, 1])), 'float32');
  };
  return tf.mul(x, tf.sub(1, tf.mul(tf.reshape(near('y', h), [b, h, 1, 1]), tf.reshape(near('x', w), [b, 1, w, 1]))));
};

/**
 * Augments what a critic sees: geometry, then colour, noise and a hole, each image by its own draws.
 * @param x float32 [B, H, W, C], in [-1, 1]; square for `rotate90`
 * @param p scalar probability
 * @param key of this step; images under one key share their draws
 * @param options.coloured how many of the last channels colour changes apply to: 3 or 0
 * @throws RangeError when `coloured` is neither, or quarter turns are asked of images that are not square
 */
export const adaAugment = (x: Image, multipliers: AdaMultipliers, p: tf.Scalar, key: Key, { coloured = 3 }: { coloured?: 0 | 3 } = {}): Image => {
  const [batch, height, width, channels] = x.shape;
  const draws = { batch, p, key };
  if (coloured !== 0 && (coloured !== 3 || channels < 3)) throw new RangeError(`adaAugment: expected coloured to be 0 or 3 of ${channels} channels but received ${coloured}`);
  if (multipliers.rotate90 > 0 && height !== width) throw new RangeError(`adaAugment: expected square images for quarter turns but received ${width} x ${height}`);
  const from = geometry(draws, multipliers, height, width);
  const by = coloured === 3 ? recolouring(draws, multipliers) : undefined;
  let y = from ? warped(x, from) : x;
  if (by) {
    const rest = channels - 3;
    y = rest === 0 ? recoloured(y, by) : tf.concat([tf.slice(y, [0, 0, 0, 0], [batch, height, width, rest]), recoloured(tf.slice(y, [0, 0, 0, rest], [batch, height, width, 3]), by)], 3);
  }
  if (multipliers.noise > 0) y = noisy(y, draws, multipliers.noise);
  return multipliers.cutout > 0 ? holed(y, draws, multipliers.cutout) : y;
};
