import { uniform } from '../../random.ts';
import { shifted } from '../geometry.ts';
import { type Augmentation, checkRange } from './augmentation.ts';

/**
 * Moves both images alike, in x and in y by up to `most` of the side, uniformly.
 * @param most share of the side, 0..1
 * @param options.pixels side of the output in pixels: shifts are then by whole pixels, and alone they copy instead of interpolating
 * @throws RangeError
 */
export const shift = (most: number, { pixels }: { pixels?: number } = {}): Augmentation => {
  checkRange('shift', 'the largest shift', most, 0, 1);
  if (pixels !== undefined && !(Number.isInteger(pixels) && pixels > 0)) throw new RangeError(`shift: expected pixels to be a positive integer but received ${pixels}`);
  const along = (u: number): number => {
    const by = (2 * u - 1) * most;
    return pixels === undefined ? by : Math.round(by * pixels) / pixels;
  };
  return { name: 'shift', magnifies: 1, draw: (key) => { const [x = 0, y = 0] = uniform(key, 2); return { affine: shifted(along(x), along(y)) }; } };
};
