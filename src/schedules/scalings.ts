/** Preconditioning: how a raw network becomes a denoiser D(x; sigma) = cSkip x + cOut F(cIn x, cNoise). Sigma comes as a tensor of any shape that broadcasts. */
import * as tf from '../tf.ts';

export type Scalings<T extends tf.Tensor> = Readonly<{ cSkip: T; cOut: T; cIn: T; cNoise: T }>;

/** EDM's. @source Karras et al. 2022, arXiv 2206.00364, table 1 */
export const edmScalings = <T extends tf.Tensor>(sigma: T, sigmaData = 0.5): Scalings<T> => {
  const sum = tf.add(tf.square(sigma), sigmaData ** 2);
  const inverse = tf.rsqrt(sum) as T;
  return {
    cSkip: tf.div(sigmaData ** 2, sum) as T,
    cOut: tf.mul(tf.mul(sigma, sigmaData), inverse) as T,
    cIn: inverse,
    cNoise: tf.div(tf.log(sigma), 4) as T,
  };
};

/** EDM's weight 1 / cOut^2. */
export const edmWeight = <T extends tf.Tensor>(sigma: T, sigmaData = 0.5): T => tf.div(tf.add(tf.square(sigma), sigmaData ** 2), tf.square(tf.mul(sigma, sigmaData))) as T;

/** Consistency models': as EDM's, with the identity at sigmaMin. @source Song et al. 2023, arXiv 2303.01469, appendix C */
export const boundaryScalings = <T extends tf.Tensor>(sigma: T, sigmaData = 0.5, sigmaMin = 0.002): Scalings<T> => {
  const above = tf.sub(sigma, sigmaMin) as T;
  const edm = edmScalings(sigma, sigmaData);
  return {
    ...edm,
    cSkip: tf.div(sigmaData ** 2, tf.add(tf.square(above), sigmaData ** 2)) as T,
    cOut: tf.mul(tf.mul(above, sigmaData), edm.cIn) as T,
  };
};
