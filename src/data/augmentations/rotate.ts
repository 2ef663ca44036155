import { uniform } from '../../random.ts';
import { rotated } from '../geometry.ts';
import { type Augmentation, checkRange } from './augmentation.ts';

/** Turns both images alike about the centre, by up to `most` degrees either way, uniformly. @param most degrees, 0..180 @throws RangeError */
export const rotate = (most: number): Augmentation => {
  checkRange('rotate', 'the largest angle in degrees', most, 0, 180);
  return { name: 'rotate', magnifies: 1, draw: (key) => { const [u = 0] = uniform(key, 1); return { affine: rotated((2 * u - 1) * most * Math.PI / 180) }; } };
};
