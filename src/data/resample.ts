import type { ColourMatrix } from './colour.ts';
import type { Affine } from './geometry.ts';

/** A decoded image: row-major [height, width, 3] sRGB, 8 or 16 bits a channel. */
export type Raster = Readonly<{ width: number; height: number; data: Uint8Array | Uint16Array }>;

/** The index that `i` shows under reflection about the first and the last of `n` (which are not repeated). */
export const reflect = (i: number, n: number): number => {
  if (i >= 0 && i < n) return i;
  if (n === 1) return 0;
  const period = 2 * (n - 1);
  const at = ((i % period) + period) % period;
  return at < n ? at : period - at;
};

/** Reflected indices times `stride` for -margin..n-1+margin, so that a loop needs no branches. */
const reflections = (n: number, margin: number, stride: number): Int32Array => Int32Array.from({ length: n + 2 * margin }, (_, i) => stride * reflect(i - margin, n));

const finish = (out: Float32Array, from: number, to: number, unit: number, m: ColourMatrix | undefined): void => {
  for (let i = from; i < to; i += 3) {
    let red = out[i] as number * unit - 1;
    let green = out[i + 1] as number * unit - 1;
    let blue = out[i + 2] as number * unit - 1;
    if (m !== undefined) {
      const [r, g, b] = [red, green, blue];
      red = m[0] * r + m[1] * g + m[2] * b;
      green = m[3] * r + m[4] * g + m[5] * b;
      blue = m[6] * r + m[7] * g + m[8] * b;
    }
    out[i] = red < -1 ? -1 : red > 1 ? 1 : red;
    out[i + 1] = green < -1 ? -1 : green > 1 ? 1 : green;
    out[i + 2] = blue < -1 ? -1 : blue > 1 ? 1 : blue;
  }
};

/**
 * Resamples an image through an affine map, once, and writes float32 in [-1, 1]: cubic convolution with a = -1/2, reflection at the borders, then the
 * colour matrix, then clipping. A map that takes pixels to pixels (whole shifts, flips, quarter turns of an image of the output's size) copies them.
 * @param affine see geometry.ts @param size side of the output in pixels
 * @param extent width and height of the whole image at rest, in output pixels: the same for both images of a pair, whatever their own sizes
 * @param out receives size * size * 3 values from `offset` on
 * @source Keys 1981, "Cubic convolution interpolation for digital image processing", eq. 15
 */
export const resample = ({ width, height, data }: Raster, { affine, size, extent, colour }: {
  affine: Affine; size: number; extent: readonly [number, number]; colour?: ColourMatrix | undefined;
}, out: Float32Array, offset: number): void => {
  // From output pixel (u, v) to image pixel (x, y): x = xu u + xv v + x0, y = yu u + yv v + y0. Rounding must not turn a copy into an interpolation.
  const snap = (value: number): number => (Math.abs(value - Math.round(value)) < 1e-7 ? Math.round(value) : value);
  const [kx, ky] = [width / extent[0], height / extent[1]];
  const middle = (size - 1) / 2;
  const [xu, xv, yu, yv] = [snap(affine[0] * kx), snap(affine[1] * kx), snap(affine[3] * ky), snap(affine[4] * ky)];
  const x0 = snap(affine[2] * size * kx + (width - 1) / 2 - (xu + xv) * middle);
  const y0 = snap(affine[5] * size * ky + (height - 1) / 2 - (yu + yv) * middle);
  // Margins that cover every tap of every output pixel.
  const marginX = Math.ceil(Math.max(0, ...[0, 1, 2, 3].map((k) => { const x = x0 + (k & 1) * xu * (size - 1) + (k >> 1) * xv * (size - 1); return Math.max(-x, x - width + 1); }))) + 3;
  const marginY = Math.ceil(Math.max(0, ...[0, 1, 2, 3].map((k) => { const y = y0 + (k & 1) * yu * (size - 1) + (k >> 1) * yv * (size - 1); return Math.max(-y, y - height + 1); }))) + 3;
  const columns = reflections(width, marginX, 3);
  const rows = reflections(height, marginY, 3 * width);
  const whole = [xu, xv, x0, yu, yv, y0].every(Number.isInteger);
  let to = offset;
  for (let v = 0; v < size; v++) {
    let x = x0 + xv * v + marginX;
    let y = y0 + yv * v + marginY;
    for (let u = 0; u < size; u++, x += xu, y += yu, to += 3) {
      const left = Math.floor(x);
      const top = Math.floor(y);
      if (whole) {
        const i = (rows[top] as number) + (columns[left] as number);
        out[to] = data[i] as number; out[to + 1] = data[i + 1] as number; out[to + 2] = data[i + 2] as number;
        continue;
      }
      const s = x - left;
      const t = y - top;
      const w0 = ((-0.5 * s + 1) * s - 0.5) * s;
      const w1 = (1.5 * s - 2.5) * s * s + 1;
      const w3 = (0.5 * s - 0.5) * s * s;
      const w2 = 1 - w0 - w1 - w3;
      const c0 = columns[left - 1] as number;
      const c1 = columns[left] as number;
      const c2 = columns[left + 1] as number;
      const c3 = columns[left + 2] as number;
      const h0 = ((-0.5 * t + 1) * t - 0.5) * t;
      const h1 = (1.5 * t - 2.5) * t * t + 1;
      const h3 = (0.5 * t - 0.5) * t * t;
      let red = 0;
      let green = 0;
      let blue = 0;
      for (let row = 0; row < 4; row++) {
        const h = row === 0 ? h0 : row === 1 ? h1 : row === 2 ? 1 - h0 - h1 - h3 : h3;
        const line = rows[top - 1 + row] as number;
        const i = line + c0;
        const j = line + c1;
        const k = line + c2;
        const l = line + c3;
        red += h * (w0 * (data[i] as number) + w1 * (data[j] as number) + w2 * (data[k] as number) + w3 * (data[l] as number));
        green += h * (w0 * (data[i + 1] as number) + w1 * (data[j + 1] as number) + w2 * (data[k + 1] as number) + w3 * (data[l + 1] as number));
        blue += h * (w0 * (data[i + 2] as number) + w1 * (data[j + 2] as number) + w2 * (data[k + 2] as number) + w3 * (data[l + 2] as number));
      }
      out[to] = red; out[to + 1] = green; out[to + 2] = blue;
    }
  }
  finish(out, offset, to, 2 / (data instanceof Uint16Array ? 65535 : 255), colour);
};
