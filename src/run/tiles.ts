/** Cutting an image of any size into pieces a network takes, and putting what it made of them together again. Pure; images are float32, row-major [H, W, 3]. */
import { reflect } from '../data/resample.ts';

/** Where the pieces along one axis begin, in pixels of the padded axis, and how much each counts at each of its places. */
export type AxisPlan = Readonly<{
  /** Length of every piece. */
  piece: number;
  starts: readonly number[];
  /** Per piece, float32 [piece]: the shares of all pieces that cover a place sum to 1. */
  shares: readonly Float32Array[];
}>;

/**
 * Plans the pieces along one axis: one, padded to the multiple, where the axis is at most `tile` long; else several of length `tile`, spread evenly, that
 * overlap by at least `overlap` and are faded into one another.
 * @param length of the image, in pixels
 * @throws RangeError when `tile` is no positive multiple of `multiple`, or `overlap` is not below half of it
 */
export const planAxis = (length: number, { multiple, tile, overlap }: { multiple: number; tile: number; overlap: number }): AxisPlan => {
  if (!(tile > 0) || tile % multiple !== 0) throw new RangeError(`planAxis: expected tile to be a positive multiple of ${multiple} but received ${tile}`);
  if (!(overlap >= 0 && overlap <= tile / 2)) throw new RangeError(`planAxis: expected overlap in 0..${tile / 2} but received ${overlap}`);
  if (length <= tile) {
    const piece = Math.ceil(length / multiple) * multiple;
    return { piece, starts: [0], shares: [new Float32Array(piece).fill(1)] };
  }
  const count = Math.ceil((length - overlap) / (tile - overlap));
  const starts = Array.from({ length: count }, (_, i) => Math.round(i * (length - tile) / (count - 1)));
  // A trapezium: rises over what is shared with the piece before, falls over what is shared with the next.
  const raw = starts.map((start, i) => Float64Array.from({ length: tile }, (_, at) => {
    const before = i > 0 ? (starts[i - 1] as number) + tile - start : 0;
    const after = i + 1 < count ? start + tile - (starts[i + 1] as number) : 0;
    return Math.min(1, before > 0 ? (at + 0.5) / before : 1, after > 0 ? (tile - at - 0.5) / after : 1);
  }));
  const total = new Float64Array(length);
  starts.forEach((start, i) => { (raw[i] as Float64Array).forEach((share, at) => { total[start + at] = (total[start + at] as number) + share; }); });
  return { piece: tile, starts, shares: starts.map((start, i) => Float32Array.from(raw[i] as Float64Array, (share, at) => share / (total[start + at] as number))) };
};

/** A plan for both axes; pieces are numbered row by row. */
export type TilePlan = Readonly<{ height: number; width: number; rows: AxisPlan; columns: AxisPlan; count: number }>;

export const planTiles = (height: number, width: number, options: { multiple: number; tile: number; overlap: number }): TilePlan => {
  const [rows, columns] = [planAxis(height, options), planAxis(width, options)];
  return { height, width, rows, columns, count: rows.starts.length * columns.starts.length };
};

const placeOf = ({ rows, columns }: TilePlan, index: number): readonly [row: number, column: number] => [Math.floor(index / columns.starts.length), index % columns.starts.length];

/** Piece `index` of an image; what lies beyond the image is its reflection. */
export const cutTile = (image: Float32Array, plan: TilePlan, index: number): Float32Array => {
  const { height, width, rows, columns } = plan;
  const [row, column] = placeOf(plan, index);
  const [top, left] = [rows.starts[row] as number, columns.starts[column] as number];
  const out = new Float32Array(rows.piece * columns.piece * 3);
  const across = Int32Array.from({ length: columns.piece }, (_, x) => reflect(left + x, width));
  for (let y = 0; y < rows.piece; y++) {
    const line = reflect(top + y, height) * width;
    for (let x = 0; x < columns.piece; x++) {
      const [from, to] = [(line + (across[x] as number)) * 3, (y * columns.piece + x) * 3];
      out[to] = image[from] as number;
      out[to + 1] = image[from + 1] as number;
      out[to + 2] = image[from + 2] as number;
    }
  }
  return out;
};

/** Adds what was made of piece `index` to an image of zeros, by its share; what lies beyond the image is cropped. */
export const addTile = (into: Float32Array, plan: TilePlan, index: number, tile: Float32Array): void => {
  const { height, width, rows, columns } = plan;
  const [row, column] = placeOf(plan, index);
  const [top, left] = [rows.starts[row] as number, columns.starts[column] as number];
  const [down, across] = [rows.shares[row] as Float32Array, columns.shares[column] as Float32Array];
  for (let y = 0; y < rows.piece && top + y < height; y++) {
    for (let x = 0; x < columns.piece && left + x < width; x++) {
      const share = (down[y] as number) * (across[x] as number);
      const [from, to] = [(y * columns.piece + x) * 3, ((top + y) * width + left + x) * 3];
      for (let c = 0; c < 3; c++) into[to + c] = (into[to + c] as number) + share * (tile[from + c] as number);
    }
  }
};
