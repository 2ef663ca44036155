import { uniform } from '../../random.ts';
import { flipped } from '../geometry.ts';
import { type Augmentation, checkRange } from './augmentation.ts';

/** Mirrors both images, with a probability. @param options.axis `x` left to right (the default), `y` top to bottom @throws RangeError */
export const flip = (probability: number, { axis = 'x' }: { axis?: 'x' | 'y' } = {}): Augmentation => {
  checkRange('flip', 'the probability', probability, 0, 1);
  if (axis !== 'x' && axis !== 'y') throw new RangeError(`flip: expected axis to be 'x' or 'y' but received ${String(axis)}`);
  return { name: 'flip', magnifies: 1, draw: (key) => { const [u = 0] = uniform(key, 1); return u < probability ? { affine: flipped(axis) } : {}; } };
};
