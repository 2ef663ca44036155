import * as tf from '../../tf.ts';

type Image = tf.Tensor4D;

/**
 * The states of Euler's method along a flow, from its beginning (t = 1) to the target's side (t = 0), evenly spaced in time: begin, then one for each call.
 * Call inside a tidy.
 * @param velocity dz/dt at a state and a time; @param begin float32 [B, H, W, C] @param steps calls
 * @throws RangeError when `steps` is not a positive integer
 * @source Liu et al. 2023 (rectified flow), arXiv 2209.03003, section 2; its t is 1 - t here
 */
export const flowStates = (velocity: (z: Image, t: number) => Image, begin: Image, steps: number): Image[] => {
  if (!Number.isInteger(steps) || steps < 1) throw new RangeError(`flowStates: expected steps to be a positive integer but received ${steps}`);
  const states = [begin];
  for (let i = 0; i < steps; i++) states.push(tf.tidy(() => tf.sub<Image>(states[i] as Image, tf.div(velocity(states[i] as Image, 1 - i / steps), steps))));
  return states;
};
