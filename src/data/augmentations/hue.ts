import { uniform } from '../../random.ts';
import { hueRotation } from '../colour.ts';
import { type Augmentation, type ColourOf, checkColourOf, checkRange, colourPlan } from './augmentation.ts';

/** Rotates hue by up to `most` degrees either way, uniformly. @param most degrees, 0..180 @param options.on both images alike, or the source alone @throws RangeError */
export const hue = (most: number, { on = 'both' }: { on?: ColourOf } = {}): Augmentation => {
  checkRange('hue', 'the largest angle in degrees', most, 0, 180);
  checkColourOf('hue', on);
  return { name: 'hue', magnifies: 1, draw: (key) => { const [u = 0] = uniform(key, 1); return colourPlan(hueRotation((2 * u - 1) * most * Math.PI / 180), on); } };
};
