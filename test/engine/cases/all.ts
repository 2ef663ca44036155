import type { Case } from './case.ts';
import { convolve } from './convolve.ts';
import { elementwise } from './elementwise.ts';
import { fusions } from './fused.ts';
import { images } from './images.ts';
import { layout } from './layout.ts';
import { matrix } from './matrix.ts';
import { reduce } from './reduce.ts';
import { spectral } from './spectral.ts';

/** Every case, by family. */
export const families: Readonly<Record<string, readonly Case[]>> = { elementwise, reduce, layout, matrix, convolve, fusions, images, spectral };
