/**
 * Gradients where those of TensorFlow.js 4.22 are wrong or missing, on every executor.
 *
 * Wrong there: mirrorPad (drops what was mirrored); avgPool that pads (counts places outside); resizeNearestNeighbor at batch > 1, resizeBilinear with half-pixel
 * centres or an image that is not square, both on the cpu executor; cumsum on any axis but the last; max and min of tied values (add up to more than dy); abs
 * at 0; floorDiv (has one); and every second derivative through a kernel whose gradient is written in its own output: exp, sigmoid, tanh, elu, pow, softmax,
 * logSoftmax, max, min lose a term, silently.
 * Missing there: maximum, minimum, squaredDifference and matMul where something is broadcast; prod on a negative axis; whatever a comparison or a logical
 * operation decides; depthToSpace, einsum, stridedSlice, tile above rank 4, cumprod, topk, diag, flipLeftRight, gatherND, scatterND, tensorScatterUpdate, gather
 * with more than one batch axis; dilated convolutions; second derivatives through filter gradients, depthwise convolution and pooling.
 * Still missing: cropAndResize, transform, rotateWithOffset, and complex numbers (the tape takes float32 only).
 */
import * as tf from '../tf.ts';
import { convolve } from './gradients/convolve.ts';
import { elementwise } from './gradients/elementwise.ts';
import { images } from './gradients/images.ts';
import { layout } from './gradients/layout.ts';
import { matrix } from './gradients/matrix.ts';
import { reduce } from './gradients/reduce.ts';

/** Puts them in the place of TensorFlow.js's own. */
export const registerGradients = (): void => {
  for (const config of [...elementwise, ...reduce, ...layout, ...matrix, ...convolve, ...images]) tf.registerGradient(config);
};
