import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addTile, cutTile, planAxis, planTiles } from '../../src/run/tiles.ts';

describe('planAxis', () => {
  it('is one piece, padded to the multiple, where the axis is short', () => {
    expect(planAxis(13, { multiple: 4, tile: 64, overlap: 16 })).toEqual({ piece: 16, starts: [0], shares: [new Float32Array(16).fill(1)] });
    expect(planAxis(64, { multiple: 4, tile: 64, overlap: 16 })).toMatchObject({ piece: 64, starts: [0] });
  });

  it('spreads pieces evenly, with at least the overlap', () => {
    const { piece, starts, shares } = planAxis(100, { multiple: 4, tile: 40, overlap: 8 });
    expect([piece, starts]).toEqual([40, [0, 30, 60]]);
    // Rises from 0 to 1 over the 10 pixels shared with the piece before, in the middle of each pixel.
    expect([...shares[1] as Float32Array].slice(0, 12).map((share) => Number(share.toFixed(4)))).toEqual([0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95, 1, 1]);
    expect((shares[0] as Float32Array)[0]).toBe(1);
    expect((shares[2] as Float32Array)[39]).toBe(1);
  });

  it('covers every place, with shares that sum to 1, for all sizes', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 400 }), fc.integer({ min: 1, max: 6 }), fc.integer({ min: 2, max: 12 }), fc.double({ min: 0, max: 0.5, noNaN: true }), (length, multiple, pieces, share) => {
      const tile = multiple * pieces;
      const overlap = Math.floor(tile * share);
      const { piece, starts, shares } = planAxis(length, { multiple, tile, overlap });
      expect(piece % multiple).toBe(0);
      expect(piece).toBeLessThanOrEqual(tile);
      const total = new Float64Array(Math.max(length, piece));
      let least = 0;
      starts.forEach((start, i) => { (shares[i] as Float32Array).forEach((value, at) => { least = Math.min(least, value); total[start + at] = (total[start + at] as number) + value; }); });
      expect(least).toBe(0);
      expect(Math.max(...total.subarray(0, length).map((sum) => Math.abs(sum - 1)))).toBeLessThan(1e-5);
      for (let i = 1; i < starts.length; i++) expect((starts[i - 1] as number) + tile - (starts[i] as number)).toBeGreaterThanOrEqual(overlap);
      expect((starts.at(-1) as number) + piece).toBeGreaterThanOrEqual(length);
    }));
  });

  it('refuses sizes that make no sense', () => {
    expect(() => planAxis(10, { multiple: 4, tile: 10, overlap: 2 })).toThrow('planAxis: expected tile to be a positive multiple of 4 but received 10');
    expect(() => planAxis(10, { multiple: 4, tile: 8, overlap: 5 })).toThrow('planAxis: expected overlap in 0..4 but received 5');
  });
});

describe('cutTile and addTile', () => {
  const image = (height: number, width: number): Float32Array => Float32Array.from({ length: height * width * 3 }, (_, i) => Math.sin(i));

  it('reflects what lies beyond the image', () => {
    const plan = planTiles(1, 3, { multiple: 4, tile: 8, overlap: 0 });
    const tile = cutTile(Float32Array.of(1, 1, 1, 2, 2, 2, 3, 3, 3), plan, 0);
    expect(Array.from({ length: 16 }, (_, i) => tile[3 * i])).toEqual([1, 2, 3, 2, 1, 2, 3, 2, 1, 2, 3, 2, 1, 2, 3, 2]);
  });

  it.each([[1, 1], [5, 9], [16, 16], [33, 70], [100, 7]])('gives an image of %d x %d back, whatever the pieces', (height, width) => {
    const original = image(height, width);
    for (const [tile, overlap] of [[16, 0], [16, 8], [32, 5]] as const) {
      const plan = planTiles(height, width, { multiple: 8, tile, overlap });
      const back = new Float32Array(original.length);
      for (let i = 0; i < plan.count; i++) {
        const piece = cutTile(original, plan, i);
        expect(piece).toHaveLength(plan.rows.piece * plan.columns.piece * 3);
        addTile(back, plan, i, piece);
      }
      expect(Math.max(...back.map((value, i) => Math.abs(value - (original[i] as number))))).toBeLessThan(1e-5);
    }
  });
});
