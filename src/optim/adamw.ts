import { type AdamOptions, adamRule } from './adam.ts';
import type { Optimizer } from './optimizer.ts';

/**
 * Adam with decoupled weight decay, as `torch.optim.AdamW`: w *= 1 - lr * weightDecay before Adam's step, which sees the plain gradient.
 * @param options as `adam`; `weightDecay` defaults to 0.01
 * @throws RangeError when a beta is outside [0, 1), or eps or weightDecay is negative
 * @source Loshchilov and Hutter 2017, arXiv 1711.05101, algorithm 2
 */
export const adamw = (options: AdamOptions = {}): Optimizer => adamRule('adamw', { weightDecay: 0.01, ...options }, true);
