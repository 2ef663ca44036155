import * as tf from '../tf.ts';
import type { Optimizer, Slots } from './optimizer.ts';
import { checkOptions, effectiveGradient, nonNegative } from './rules.ts';

export type SgdOptions = Readonly<{
  /** Share of the old velocity that a step keeps; 0. */
  momentum?: number;
  /** How much of the new gradient is withheld from the velocity; 0. */
  dampening?: number;
  /** L2 penalty whose gradient is added to the gradient; 0. */
  weightDecay?: number;
  /** Look ahead along the velocity; false. */
  nesterov?: boolean;
  /** Climb instead of descending; false. */
  maximize?: boolean;
}>;

/**
 * Stochastic gradient descent, as `torch.optim.SGD`: v = momentum v + (1 - dampening) g (v = g at the first step), w -= lr v, or with `nesterov`
 * w -= lr (g + momentum v).
 * @throws RangeError when momentum or weightDecay is negative, or `nesterov` comes without momentum or with dampening
 * @source Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning"
 */
export const sgd = ({ momentum = 0, dampening = 0, weightDecay = 0, nesterov = false, maximize = false }: SgdOptions = {}): Optimizer => {
  checkOptions('sgd', {
    momentum: nonNegative(momentum), weightDecay: nonNegative(weightDecay), dampening: [dampening, Number.isFinite(dampening), 'a finite number'],
  });
  if (nesterov && (momentum === 0 || dampening !== 0)) {
    throw new RangeError(`sgd: expected nesterov with positive momentum and no dampening but received momentum ${momentum}, dampening ${dampening}`);
  }
  return {
    name: 'sgd',
    slots: momentum === 0 ? {} : { momentumBuffer: 0 },
    update: (weights, gradient, slots, lr, count) => {
      const g = effectiveGradient(gradient, weights, { weightDecay, maximize });
      if (momentum === 0) return { weights: tf.sub(weights, tf.mul(g, lr)) as tf.Tensor1D, slots: {} as Slots };
      const moved = tf.add(tf.mul(slots['momentumBuffer'] as tf.Tensor1D, momentum), tf.mul(g, 1 - dampening));
      const velocity = (dampening === 0 ? moved : tf.where(tf.lessEqual(count, 1), g, moved)) as tf.Tensor1D;
      const direction = nesterov ? tf.add(g, tf.mul(velocity, momentum)) : velocity;
      return { weights: tf.sub(weights, tf.mul(direction, lr)) as tf.Tensor1D, slots: { momentumBuffer: velocity } };
    },
  };
};
