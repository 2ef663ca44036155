import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hueRotation } from '../../src/data/colour.ts';
import { type Affine, compose, cropped, flipped, identityAffine, rotated, shifted } from '../../src/data/geometry.ts';
import { type Raster, reflect, resample } from '../../src/data/resample.ts';

/** A 16-bit image from a function of the pixel's place to [0, 1] per channel. */
const painted = (width: number, height: number, value: (x: number, y: number, k: number) => number): Raster => ({
  width, height, data: Uint16Array.from({ length: width * height * 3 }, (_, i) => Math.round(65535 * value(Math.floor(i / 3) % width, Math.floor(i / 3 / width), i % 3))),
});
const through = (image: Raster, affine: Affine, size: number, extent: readonly [number, number] = [size, size]): Float32Array => {
  const out = new Float32Array(size * size * 3 + 2).fill(7);
  resample(image, { affine, size, extent }, out, 1);
  expect([out[0], out.at(-1)]).toEqual([7, 7]); // writes its own place only
  return out.subarray(1, -1);
};
const noise = painted(12, 12, (x, y, k) => ((x * 73 + y * 179 + k * 283) % 97) / 96);
const red = (values: Float32Array, size: number): number[][] => Array.from({ length: size }, (_, v) => Array.from({ length: size }, (_, u) => values[3 * (v * size + u)] as number));

describe('reflect', () => {
  it('mirrors about the first and the last, which are not repeated', () => {
    expect([-3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((i) => reflect(i, 4))).toEqual([3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2, 3]);
    expect([-2, 0, 5].map((i) => reflect(i, 1))).toEqual([0, 0, 0]);
  });
});

describe('resample', () => {
  it('copies an image at rest, in float32 of [-1, 1]', () => {
    expect(through(noise, identityAffine, 12)).toEqual(Float32Array.from(noise.data, (value) => value * (2 / 65535) - 1));
    const bytes: Raster = { width: 2, height: 1, data: Uint8Array.of(0, 128, 255, 255, 51, 0) };
    expect([...through(bytes, identityAffine, 2, [2, 1])].slice(0, 6)).toEqual([-1, 128 * (2 / 255) - 1, 1, 1, 51 * (2 / 255) - 1, -1].map(Math.fround));
  });

  it('copies bitwise under flips, whole shifts with reflection, and quarter turns', () => {
    const rest = red(through(noise, identityAffine, 12), 12);
    expect(red(through(noise, flipped('x'), 12), 12)).toEqual(rest.map((row) => [...row].reverse()));
    expect(red(through(noise, flipped('y'), 12), 12)).toEqual([...rest].reverse());
    const moved = red(through(noise, shifted(3 / 12, -2 / 12), 12), 12); // right by 3, up by 2
    expect(moved).toEqual(rest.map((_, v) => rest.map((_, u) => rest[reflect(v + 2, 12)]?.[reflect(u - 3, 12)])));
    const turned = red(through(noise, rotated(Math.PI / 2), 12), 12);
    expect(turned).toEqual(rest.map((_, v) => rest.map((_, u) => rest[u]?.[11 - v])));
    const quarter = rotated(Math.PI / 2);
    expect(through(noise, compose(compose(quarter, quarter), compose(quarter, quarter)), 12)).toEqual(through(noise, identityAffine, 12));
  });

  it('puts every point where the map says: quadratics are reproduced exactly inside', () => {
    const [width, height, size] = [80, 60, 40];
    const value = (x: number, y: number, k: number): number => (k === 0 ? x / 80 : k === 1 ? y / 60 : ((x - 30) ** 2 + (y - 20) * (x - 10)) / 8000 + 0.3);
    const image = painted(width, height, value);
    const extent = [width * size / height, size] as const; // the shorter side fills the output
    fc.assert(fc.property(
      fc.double({ min: -3.2, max: 3.2, noNaN: true }), fc.double({ min: 0.4, max: 0.6, noNaN: true }), fc.double({ min: -0.1, max: 0.1, noNaN: true }), fc.boolean(),
      (angle, share, shift, mirrored) => {
        const affine = compose(compose(rotated(angle), cropped(share, shift, -shift)), mirrored ? flipped('x') : identityAffine);
        const out = through(image, affine, size, extent);
        const [a, b, tx, c, d, ty] = affine;
        let worst = 0;
        for (let v = 0; v < size; v++) {
          for (let u = 0; u < size; u++) {
            const [p, q] = [(u + 0.5) / size - 0.5, (v + 0.5) / size - 0.5]; // shares of the side, from the centre
            const [x, y] = [(a * p + b * q + tx) * height + width / 2 - 0.5, (c * p + d * q + ty) * height + height / 2 - 0.5];
            for (let k = 0; k < 3; k++) worst = Math.max(worst, Math.abs((out[3 * (v * size + u) + k] as number) - (2 * value(x, y, k) - 1)));
          }
        }
        // half a step of 16 bits, times two, times the overshoot of the weights; a tenth of a pixel would be 2.5e-3
        expect(worst).toBeLessThan(6e-5);
      },
    ), { numRuns: 40 });
  });

  it('reads an image of another size at the same places', () => {
    // x / width at pixel centres (x + 1/2): what both images show at one place of the output is the same ramp
    const ramp = (width: number, height: number): Raster => painted(width, height, (x, y, k) => (k === 0 ? (x + 0.5) / width : (y + 0.5) / height));
    const affine = compose(rotated(0.2), cropped(0.5, 0.05, 0.02));
    const [small, large] = [through(ramp(40, 30), affine, 24, [32, 24]), through(ramp(120, 90), affine, 24, [32, 24])];
    small.forEach((value, i) => { expect(value).toBeCloseTo(large[i] as number, 4); });
  });

  it('stays within [-1, 1] where cubic convolution overshoots, and survives maps far outside', () => {
    const edge = painted(16, 16, (x) => (x < 8 ? 0 : 1));
    const values = through(edge, compose(rotated(0.3), shifted(0.03, 0.41)), 16);
    expect(Math.max(...values)).toBe(1);
    expect(Math.min(...values)).toBe(-1);
    expect(through(edge, shifted(37.3, -58.1), 16).every((value) => value >= -1 && value <= 1)).toBe(true);
    expect(through(painted(1, 1, () => 0.5), rotated(0.5), 4).every((value) => Math.abs(value) < 1e-4)).toBe(true);
  });

  it('turns colours before it clips', () => {
    const image: Raster = { width: 1, height: 1, data: Uint8Array.of(255, 0, 0) };
    const out = new Float32Array(3);
    resample(image, { affine: identityAffine, size: 1, extent: [1, 1], colour: hueRotation(2 * Math.PI / 3) }, out, 0);
    [-1, 1, -1].forEach((value, k) => { expect(out[k]).toBeCloseTo(value, 6); });
  });
});
