import { describe, expect, it } from 'vitest';
import { type Affine, compose, cropped, flipped, identityAffine, rotated, shifted } from '../../src/data/geometry.ts';

const at = ([a, b, tx, c, d, ty]: Affine, x: number, y: number): [number, number] => [a * x + b * y + tx, c * x + d * y + ty];

describe('maps from the output to the image', () => {
  it('look where the content comes from', () => {
    expect(at(shifted(0.1, 0.2), 0, 0)).toEqual([-0.1, -0.2]); // content moved right and down: the centre shows what was left and above
    expect(at(flipped('x'), 0.3, 0.1)).toEqual([-0.3, 0.1]);
    expect(at(flipped('y'), 0.3, 0.1)).toEqual([0.3, -0.1]);
    expect(at(cropped(0.5, 0.25, -0.25), 0.5, 0.5)).toEqual([0.5, 0]);
  });
  it('rotate counter-clockwise as seen: what was on the right comes to the top', () => {
    const [x, y] = at(rotated(Math.PI / 2), 0, -0.5);
    expect(x).toBeCloseTo(0.5, 12);
    expect(y).toBeCloseTo(0, 12);
  });
  it('compose: the inner map first', () => {
    const outer = rotated(0.3);
    const inner = cropped(0.7, 0.1, 0.05);
    const through = at(outer, ...at(inner, 0.2, -0.4));
    at(compose(outer, inner), 0.2, -0.4).forEach((value, i) => { expect(value).toBeCloseTo(through[i] as number, 12); });
    expect(compose(identityAffine, inner)).toEqual(inner);
  });
  it('undo themselves: two flips, four quarter turns, back and forth', () => {
    const quarter = rotated(Math.PI / 2);
    for (const map of [compose(flipped('x'), flipped('x')), compose(compose(quarter, quarter), compose(quarter, quarter)), compose(shifted(0.2, 0.1), shifted(-0.2, -0.1))]) {
      map.forEach((value, i) => { expect(value).toBeCloseTo(identityAffine[i] as number, 12); });
    }
  });
});
