import { describe, expect, it } from 'vitest';
import { latentPictures } from '../../src/run/latentPictures.ts';

describe('latentPictures', () => {
  it('shows three channels as colours, each over its own range, a square per cell', () => {
    // Two images of one row of two cells with four channels: channel 0 is 1 and -1, channel 1 is constant, channel 2 rises.
    const [first, second] = latentPictures(Float32Array.of(1, 5, 0, 9, -1, 5, 1, 9, 1, 5, 2, 9, -1, 5, 3, 9), [2, 1, 2, 4], 2) as [Float32Array, Float32Array];
    expect(first).toHaveLength(2 * 4 * 3);
    const pixel = (image: Float32Array, row: number, column: number): number[] => [...image.subarray((row * 4 + column) * 3, (row * 4 + column) * 3 + 3)];
    for (const [row, column] of [[0, 0], [0, 1], [1, 0], [1, 1]] as const) expect(pixel(first, row, column)).toEqual(pixel(first, 0, 0));
    expect(pixel(first, 0, 0)[0]).toBeCloseTo(1 / 3, 6);
    expect(pixel(first, 0, 2)[0]).toBeCloseTo(-1 / 3, 6);
    expect(pixel(first, 0, 0)[1]).toBeCloseTo(0, 6);
    expect(pixel(second, 0, 3)[2]).toBeGreaterThan(pixel(first, 0, 0)[2] as number);
  });

  it('shows fewer channels in grey, and nothing beyond the range', () => {
    const [grey] = latentPictures(Float32Array.of(...new Array<number>(99).fill(0), 1000), [1, 1, 100, 1], 1) as [Float32Array];
    expect([...grey.slice(-3)]).toEqual([1, 1, 1]);
    expect(Math.max(...grey)).toBe(1);
  });
});
