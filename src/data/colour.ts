/** Colour augmentations as matrices on [r, g, b] columns. Each keeps greys as they are, so it is the same on [0, 1] and on [-1, 1]. */

/** Row-major 3 x 3. */
export type ColourMatrix = readonly [number, number, number, number, number, number, number, number, number];

export const identityColour: ColourMatrix = [1, 0, 0, 0, 1, 0, 0, 0, 1];

/** The matrix `outer` after `inner`. */
export const composeColour = (outer: ColourMatrix, inner: ColourMatrix): ColourMatrix =>
  identityColour.map((_, i) => [0, 1, 2].reduce((sum, k) => sum + (outer[3 * Math.floor(i / 3) + k] as number) * (inner[3 * k + i % 3] as number), 0)) as unknown as ColourMatrix;

/**
 * Rotates hue about the grey axis by an angle in radians; positive takes red towards green. Keeps r + g + b.
 * @source Karras et al. 2020 (ADA), arXiv 2006.06676, appendix B; Rodrigues' formula about (1, 1, 1) / sqrt(3)
 */
export const hueRotation = (angle: number): ColourMatrix => {
  const [cos, sin] = [Math.cos(angle), Math.sin(angle) / Math.sqrt(3)];
  const a = cos + (1 - cos) / 3;
  const [less, more] = [(1 - cos) / 3 - sin, (1 - cos) / 3 + sin];
  return [a, less, more, more, a, less, less, more, a];
};

/** Scales saturation about the grey axis: v v^T + (I - v v^T) s with v = (1, 1, 1) / sqrt(3). 0 is grey, 1 changes nothing. Keeps r + g + b. */
export const saturationScale = (s: number): ColourMatrix => {
  const off = (1 - s) / 3;
  return [off + s, off, off, off, off + s, off, off, off, off + s];
};
