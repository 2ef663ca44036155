/**
 * Conditional flow matching: z_t = mu_t + s_t eps between the clean target (t = 0) and noise or a source image (t = 1), and the velocity dz/dt the
 * network learns. TorchCFM runs the other way: its t is 1 - t here, and its velocities have the other sign.
 * @source Lipman et al. 2023, arXiv 2210.02747; Tong et al. 2024, arXiv 2302.00482, table 1
 */
import * as tf from '../../tf.ts';

type Image = tf.Tensor4D;

/** `linear` is I-CFM (and OT-CFM, rectified flow, LBM's straight line); `target` is Lipman's path; `bridge` is SB-CFM; `trigonometric` is VP / stochastic interpolants. */
export type FlowKind = 'linear' | 'target' | 'bridge' | 'trigonometric';

export type FlowOptions = Readonly<{ kind?: FlowKind; /** Path noise: s_t itself (linear, trigonometric), the smallest s_t (target), or its scale (bridge). */ sigma?: number }>;

/** Location and velocity of one batch. */
export type FlowPoint = Readonly<{ z: Image; velocity: Image }>;

const check = ({ kind = 'linear', sigma = 0 }: FlowOptions): void => {
  if (!(sigma >= 0) || (kind === 'bridge' && sigma === 0)) throw new RangeError(`flowPoint: expected ${kind === 'bridge' ? 'a positive' : 'a non-negative'} sigma but received ${sigma}`);
};

/** s_t, broadcast like t. */
export const flowStd = (t: Image, { kind = 'linear', sigma = 0 }: FlowOptions = {}): Image => {
  switch (kind) {
    case 'linear': case 'trigonometric': return tf.fill<tf.Rank.R4>(t.shape, sigma);
    case 'target': return tf.add<Image>(tf.mul(t, 1 - sigma), sigma);
    case 'bridge': return tf.mul<Image>(tf.sqrt(tf.mul(t, tf.sub(1, t))), sigma);
  }
};

const flowMean = (target: Image, source: Image, t: Image, kind: FlowKind): Image => {
  switch (kind) {
    case 'linear': case 'bridge': return tf.add(tf.mul(target, tf.sub(1, t)), tf.mul(source, t));
    case 'target': return tf.mul(target, tf.sub(1, t));
    case 'trigonometric': return tf.add(tf.mul(target, tf.cos(tf.mul(t, Math.PI / 2))), tf.mul(source, tf.sin(tf.mul(t, Math.PI / 2))));
  }
};

/**
 * A point of the conditional path and its velocity.
 * @param source noise, or the source image @param t float32 [B, 1, 1, 1] in [0, 1]; keep it within [1e-3, 1 - 1e-3] for `bridge`, whose velocity explodes at the ends
 * @param eps unit normal; may be left out where the path adds none (sigma 0, but for `target`, whose noise it is)
 */
export const flowPoint = (target: Image, source: Image, t: Image, options: FlowOptions = {}, eps?: Image): FlowPoint => {
  check(options);
  const { kind = 'linear', sigma = 0 } = options;
  const mean = flowMean(target, source, t, kind);
  if (eps === undefined && (kind === 'target' || sigma > 0)) throw new TypeError(`flowPoint: expected eps for kind ${kind} with sigma ${sigma} but received none`);
  const z: Image = eps === undefined ? mean : tf.add(mean, tf.mul(eps, flowStd(t, options)));
  switch (kind) {
    case 'linear': return { z, velocity: tf.sub(source, target) };
    case 'target': return { z, velocity: tf.div<Image>(tf.sub(tf.mul(z, 1 - sigma), target), flowStd(t, options)) };
    case 'bridge': {
      const rate = tf.div<Image>(tf.sub(1, tf.mul(t, 2)), tf.add(tf.mul(tf.mul(t, 2), tf.sub(1, t)), 1e-8));
      return { z, velocity: tf.add<Image>(tf.mul(rate, tf.sub(z, mean)), tf.sub(source, target)) };
    }
    case 'trigonometric': {
      const angle = tf.mul(t, Math.PI / 2);
      return { z, velocity: tf.mul<Image>(tf.sub(tf.mul(source, tf.cos(angle)), tf.mul(target, tf.sin(angle))), Math.PI / 2) };
    }
  }
};

/** The score's weight relative to the flow's in SB-CFM's joint objective: 2 s_t / (sigma^2 + 1e-8). @source arXiv 2307.03672, section 3 */
export const scoreWeight = (t: Image, options: FlowOptions): Image => tf.div(tf.mul(flowStd(t, options), 2), (options.sigma ?? 0) ** 2 + 1e-8);

/** The target a velocity points to from z, with all the remaining time: z - t v. */
export const flowTarget = (z: Image, velocity: Image, t: Image): Image => tf.sub(z, tf.mul(velocity, t));

/**
 * How far a path is from straight: mean over steps of the mean squared difference between each step's velocity and the whole displacement.
 * @param states along one simulated path, from t = 1 to t = 0, evenly spaced @source Liu et al. 2023, arXiv 2209.03003, eq. 2; sangyun884/rfpp, utils.py
 */
export const straightness = (states: readonly Image[]): tf.Scalar => {
  const steps = states.length - 1;
  if (steps < 1) throw new RangeError(`straightness: expected at least two states but received ${states.length}`);
  const whole = tf.sub(states[0] as Image, states[steps] as Image);
  return tf.div(tf.addN(states.slice(1).map((state, i) => tf.mean(tf.squaredDifference(tf.mul(tf.sub(states[i] as Image, state), steps), whole)))), steps) as tf.Scalar;
};
