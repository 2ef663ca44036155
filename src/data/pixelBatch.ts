import type { PairPixels, Spent } from './decodePair.ts';

/** A decoded batch that is no tensors yet: row-major [B, H, W, 3] in [-1, 1], source and target under the same geometry. */
export type PixelBatch = Readonly<{ source: Float32Array; target: Float32Array; shape: readonly [number, number, number, number] }>;

const joined = (images: readonly Float32Array[]): Float32Array => {
  const length = images[0]?.length ?? 0;
  const all = new Float32Array(images.length * length);
  images.forEach((image, i) => { all.set(image, i * length); });
  return all;
};

/** Puts the pairs of a batch side by side. @param size side of each image in pixels */
export const pixelBatch = (pairs: readonly PairPixels[], size: number): PixelBatch =>
  ({ source: joined(pairs.map(({ source }) => source)), target: joined(pairs.map(({ target }) => target)), shape: [pairs.length, size, size, 3] });

/** What the pairs of a batch took together. */
export const spentOn = (pairs: readonly PairPixels[]): Spent => pairs.reduce<Spent>(
  (sum, { spent }) => ({ disk: sum.disk + spent.disk, decode: sum.decode + spent.decode, augment: sum.augment + spent.augment }), { disk: 0, decode: 0, augment: 0 },
);
