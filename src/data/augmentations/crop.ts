import { uniform } from '../../random.ts';
import { cropped } from '../geometry.ts';
import { type Augmentation, checkRange } from './augmentation.ts';

/**
 * Shows a square window of both images alike: its side is a share drawn uniformly from `least`..1, its place is uniform, along the whole of an image that is
 * not square.
 * @param least share of the shorter side, 0.1..1 @throws RangeError
 */
export const crop = (least: number): Augmentation => {
  checkRange('crop', 'the smallest share', least, 0.1, 1);
  return {
    name: 'crop',
    magnifies: 1 / least,
    draw: (key) => {
      const [size = 0, x = 0, y = 0, place = 0] = uniform(key, 4);
      const share = least + (1 - least) * size;
      return { affine: cropped(share, (x - 0.5) * (1 - share), (y - 0.5) * (1 - share)), place };
    },
  };
};
