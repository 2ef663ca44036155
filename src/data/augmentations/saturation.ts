import { uniform } from '../../random.ts';
import { saturationScale } from '../colour.ts';
import { type Augmentation, type ColourOf, checkColourOf, checkRange, colourPlan } from './augmentation.ts';

/** Scales saturation by a factor drawn uniformly from 1 - most..1 + most. @param most 0..1 @param options.on both images alike, or the source alone @throws RangeError */
export const saturation = (most: number, { on = 'both' }: { on?: ColourOf } = {}): Augmentation => {
  checkRange('saturation', 'the largest change', most, 0, 1);
  checkColourOf('saturation', on);
  return { name: 'saturation', magnifies: 1, draw: (key) => { const [u = 0] = uniform(key, 1); return colourPlan(saturationScale(1 + (2 * u - 1) * most), on); } };
};
