/**
 * Plane geometry of augmentations. A map says where each output pixel looks in the image; maps compose, so any number of augmentations is one
 * resampling. Coordinates are in shares of the output's side, from its centre, x to the right and y down; the image at rest fills the output with its
 * shorter side.
 */

/** x' = a x + b y + tx, y' = c x + d y + ty: from output to image. */
export type Affine = readonly [a: number, b: number, tx: number, c: number, d: number, ty: number];

export const identityAffine: Affine = [1, 0, 0, 0, 1, 0];

/** The map `outer` after `inner`: a point goes through `inner` first. */
export const compose = (outer: Affine, inner: Affine): Affine => {
  const [a, b, tx, c, d, ty] = outer;
  const [e, f, ux, g, h, uy] = inner;
  return [a * e + b * g, a * f + b * h, a * ux + b * uy + tx, c * e + d * g, c * f + d * h, c * ux + d * uy + ty];
};

/** The content moves right by x and down by y. */
export const shifted = (x: number, y: number): Affine => [1, 0, -x, 0, 1, -y];

/** The content turns about the centre, counter-clockwise as seen, by an angle in radians. */
export const rotated = (angle: number): Affine => {
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  return [cos, -sin, 0, sin, cos, 0];
};

/** The content is mirrored left to right, or top to bottom. */
export const flipped = (axis: 'x' | 'y'): Affine => (axis === 'x' ? [-1, 0, 0, 0, 1, 0] : [1, 0, 0, 0, -1, 0]);

/** Only a window is seen, `share` of the side wide, its centre at (x, y). */
export const cropped = (share: number, x: number, y: number): Affine => [share, 0, x, 0, share, y];
