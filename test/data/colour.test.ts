import { describe, expect, it } from 'vitest';
import { type ColourMatrix, composeColour, hueRotation, identityColour, saturationScale } from '../../src/data/colour.ts';

const apply = (m: ColourMatrix, [r, g, b]: readonly [number, number, number]): number[] => [0, 3, 6].map((row) => (m[row] as number) * r + (m[row + 1] as number) * g + (m[row + 2] as number) * b);
const close = (values: readonly number[], expected: readonly number[], digits = 12): void => { values.forEach((value, i) => { expect(value).toBeCloseTo(expected[i] as number, digits); }); };
const degrees = (angle: number): number => angle * Math.PI / 180;

describe('hueRotation', () => {
  it('takes red to green by 120 degrees, a cyclic permutation', () => {
    close(hueRotation(degrees(120)), [0, 0, 1, 1, 0, 0, 0, 1, 0]);
    close(apply(hueRotation(degrees(120)), [1, 0, 0]), [0, 1, 0]);
  });
  it('gives the published value at 30 degrees', () => { close(apply(hueRotation(degrees(30)), [0.8, 0.3, 0.1]), [0.6887, 0.5155, -0.0041], 4); });
  it('turns back', () => { close(composeColour(hueRotation(0.7), hueRotation(-0.7)), identityColour); });
});

describe('saturationScale', () => {
  it('is grey at 0 and nothing at 1', () => {
    close(apply(saturationScale(0), [0.8, 0.3, 0.1]), [0.4, 0.4, 0.4]);
    close(saturationScale(1), identityColour);
  });
});

it('keeps greys and r + g + b, in any order, on [0, 1] and on [-1, 1]', () => {
  const matrix = composeColour(hueRotation(0.4), saturationScale(1.3));
  close(apply(matrix, [0.3, 0.3, 0.3]), [0.3, 0.3, 0.3]);
  expect(apply(matrix, [0.8, 0.3, 0.1]).reduce((a, b) => a + b)).toBeCloseTo(1.2, 12);
  close(apply(matrix, [0.6, -0.4, -0.8]), apply(matrix, [0.8, 0.3, 0.1]).map((value) => 2 * value - 1));
  close(matrix, composeColour(saturationScale(1.3), hueRotation(0.4)));
});
