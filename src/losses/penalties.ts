/**
 * Gradient penalties of critics. A critic here is a function from images to raw logits of any shape; its gradient is that of the sum of its logits, so a map of
 * n logits is judged as one sum, and norms run over height, width and channels. Exact ones differentiate twice: they need a critic made of operations whose
 * gradients have gradients (convolutions, matmuls, elementwise, reshapes; no pooling or resizing kernels).
 */
import * as tf from '../tf.ts';
import { gradientsOf } from '../models/tape.ts';

type Critic = (images: tf.Tensor4D) => tf.Tensor;

const perImage = (x: tf.Tensor): tf.Tensor2D => tf.reshape(x, [x.shape[0] as number, -1]);

/** Logits and the squared length of each image's gradient, from one forward pass: both are differentiable in the critic's parameters. */
export const judgedWithGradient = (critic: Critic, images: tf.Tensor4D): Readonly<{ logits: tf.Tensor; squaredNorms: tf.Tensor1D }> => {
  const { grads: [gradient], extra: logits } = gradientsOf([images], () => {
    const logits = critic(images);
    return { loss: tf.sum(logits) as tf.Scalar, extra: logits };
  });
  return { logits, squaredNorms: tf.sum(tf.square(perImage(gradient as tf.Tensor)), 1) };
};

/**
 * Zero-centred penalty, E ||grad D(x)||^2: R1 on real images, R2 on generated ones. The customary gamma / 2 is its weight.
 * @source Mescheder et al. 2018, arXiv 1801.04406, eq. 9
 */
export const zeroCentred = (critic: Critic, images: tf.Tensor4D): tf.Scalar => tf.mean(judgedWithGradient(critic, images).squaredNorms);

/**
 * The same by one finite difference, E (D(x + sigma n) - D(x))^2 / sigma^2, which needs first derivatives only; n unit normal, so that its expectation is that of
 * `zeroCentred` as sigma goes to 0. Published weights lambda are those of the difference not divided by sigma^2: gamma = 2 lambda sigma^2, so the weight
 * here is lambda sigma^2.
 * @param noise n, of the images' shape, drawn anew each step
 * @param options.logits D(x), if it is there already
 * @source Lin et al. 2025 (seaweed-APT), arXiv 2501.08316, eq. 5
 */
export const approximateZeroCentred = (critic: Critic, images: tf.Tensor4D, noise: tf.Tensor4D, { sigma = 0.01, logits = critic(images) }: { sigma?: number; logits?: tf.Tensor } = {}): tf.Scalar => {
  if (!(sigma > 0)) throw new RangeError(`approximateZeroCentred: expected sigma to be positive but received ${sigma}`);
  const moved = critic(tf.add(images, tf.mul(noise, sigma)));
  const change = tf.sum(perImage(tf.sub(moved, logits)), 1);
  return tf.mean(tf.square(tf.div(change, sigma)));
};

/**
 * One-centred penalty between real and generated images, E (||grad D(u x + (1 - u) g)|| - 1)^2; the customary weight is 10.
 * @param u float32 [B, 1, 1, 1], uniform in [0, 1), drawn anew each step
 * @source Gulrajani et al. 2017 (WGAN-GP), arXiv 1704.00028, eq. 3
 */
export const oneCentred = (critic: Critic, real: tf.Tensor4D, fake: tf.Tensor4D, u: tf.Tensor4D): tf.Scalar => {
  const between = tf.add<tf.Tensor4D>(tf.mul(real, u), tf.mul(fake, tf.sub(1, u)));
  // A root has no slope at 0.
  const lengths = tf.sqrt(tf.add(judgedWithGradient(critic, between).squaredNorms, 1e-12));
  return tf.mean(tf.square(tf.sub(lengths, 1)));
};

/** Adam's numbers for a critic regularised every `every`-th step: lr * c and beta^c with c = every / (every + 1). @source Karras et al. 2019 (StyleGAN2), arXiv 1912.04958, appendix B */
export const lazyAdam = ({ lr, beta1, beta2 }: Readonly<{ lr: number; beta1: number; beta2: number }>, every: number): Readonly<{ lr: number; beta1: number; beta2: number }> => {
  const c = every / (every + 1);
  return { lr: lr * c, beta1: beta1 ** c, beta2: beta2 ** c };
};

/**
 * LeCam regularisation: logits are drawn to the running mean of the other side's, E (D(x) - aF)^2 + E (D(g) - aR)^2; `oneSided` only where D(x) is above aF or D(g)
 * below aR, as the source's code has it.
 * @param anchors running means of real and generated logits (see `trackLogits`)
 * @source Tseng et al. 2021, arXiv 2104.03310, eq. 6
 */
export const lecam = ({ realLogits, fakeLogits }: Readonly<{ realLogits: tf.Tensor; fakeLogits: tf.Tensor }>, anchors: Readonly<{ real: tf.Scalar; fake: tf.Scalar }>, { oneSided = false }: { oneSided?: boolean } = {}): tf.Scalar => {
  const [above, below] = [tf.sub(realLogits, anchors.fake), tf.sub(anchors.real, fakeLogits)];
  const part = (x: tf.Tensor): tf.Scalar => tf.mean(tf.square(oneSided ? tf.relu(x) : x));
  return tf.add(part(above), part(below));
};
