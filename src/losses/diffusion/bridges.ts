/** Training points of processes between a target (index or t 0) and a source (the other end). Tables are in src/schedules/bridges.ts. */
import { type ResidualNoise, type ResidualShift, type SchroedingerBridge, brownianBridgeStd } from '../../schedules/bridges.ts';
import * as tf from '../../tf.ts';
import { perImage } from './levels.ts';

type Image = tf.Tensor4D;

const look = (table: Float64Array, steps: ArrayLike<number>): Image => perImage(Array.from(steps, (n) => table[n] as number));

/** I2SB's x_n between target and source. @param steps one index per image @param eps unit normal; left out for the OT-ODE variant @source Liu et al. 2023, arXiv 2302.05872, eq. 11 */
export const bridgePoint = (bridge: SchroedingerBridge, target: Image, source: Image, steps: ArrayLike<number>, eps?: Image): Image => {
  const mean = tf.add<Image>(tf.mul(target, look(bridge.muX0, steps)), tf.mul(source, look(bridge.muX1, steps)));
  return eps === undefined ? mean : tf.add(mean, tf.mul(eps, look(bridge.std, steps)));
};

/** What I2SB's network learns: (x_n - target) / stdForward[n]. @source arXiv 2302.05872, eq. 12 */
export const bridgeLabel = (bridge: SchroedingerBridge, target: Image, x: Image, steps: ArrayLike<number>): Image => tf.div(tf.sub(x, target), look(bridge.stdForward, steps));

/** The target an I2SB network's output stands for. */
export const bridgeTarget = (bridge: SchroedingerBridge, x: Image, output: Image, steps: ArrayLike<number>): Image => tf.sub(x, tf.mul(output, look(bridge.stdForward, steps)));

/** LBM's point, its velocity source - target, and the times as a tensor; exactly the source at t = 1. */
export type LatentBridgePoint = Readonly<{ z: Image; velocity: Image; t: Image }>;

/**
 * LBM: z = t source + (1 - t) target + scale sqrt(t (1 - t)) eps. The velocity is the constant displacement, as in the released code (the paper's has a
 * noise term, which vanishes with `scale`).
 * @source Chadebec et al. 2025, arXiv 2503.07535; gojasper/LBM, lbm_model.py
 */
export const latentBridgePoint = (target: Image, source: Image, times: ArrayLike<number>, { noise: scale }: { noise: number }, eps: Image): LatentBridgePoint => {
  const t = perImage(times);
  const std = perImage(Array.from(times, (time) => brownianBridgeStd(time, scale)));
  const z = tf.addN([tf.mul(source, t), tf.mul(target, perImage(Array.from(times, (time) => 1 - time))), tf.mul(eps, std)]) as Image;
  return { z, velocity: tf.sub(source, target), t };
};

/** ResShift's x_t = target + eta (source - target) + kappa sqrt(eta) eps; the network predicts the target. @source Yue et al. 2023, arXiv 2307.12348, eq. 2 */
export const residualPoint = ({ sqrtEtas, kappa }: ResidualShift, target: Image, source: Image, steps: ArrayLike<number>, eps: Image): Image => {
  const root = look(sqrtEtas, steps);
  return tf.addN([target, tf.mul(tf.sub(source, target), tf.square(root)), tf.mul(eps, tf.mul(root, kappa))]) as Image;
};

/** Where ResShift's sampling starts: source + kappa sqrt(eta_{T-1}) eps. */
export const residualStart = ({ sqrtEtas, kappa }: ResidualShift, source: Image, eps: Image): Image => tf.add(source, tf.mul(eps, kappa * (sqrtEtas[sqrtEtas.length - 1] as number)));

/** RDDM's x_t = target + A_t (source - target) + B_t eps; the network predicts the residual source - target and eps. @source Liu et al. 2024, arXiv 2308.13712, eq. 7 */
export const residualNoisePoint = (tables: ResidualNoise, target: Image, source: Image, steps: ArrayLike<number>, eps: Image): Image =>
  tf.addN([target, tf.mul(tf.sub(source, target), look(tables.residual, steps)), tf.mul(eps, look(tables.noise, steps))]) as Image;

/**
 * RDDM's deterministic step from t to s < t: x - (A_t - A_s) residual - (B_t - B_s) noise; s = -1 is the target.
 * @source arXiv 2308.13712, eq. 13
 */
export const residualNoiseStep = ({ residual: a, noise: b }: ResidualNoise, x: Image, predicted: Readonly<{ residual: Image; noise: Image }>, t: number, s: number): Image => {
  const down = (table: Float64Array): number => (table[t] as number) - (s < 0 ? 0 : table[s] as number);
  return tf.sub(tf.sub(x, tf.mul(predicted.residual, down(a))), tf.mul(predicted.noise, down(b)));
};
