import * as fused from '../../../src/engine/fused.ts';
import type * as tf from '../../../src/tf.ts';
import { type Case, float, smooth } from './case.ts';

type T = tf.Tensor;

/** Functions that are one kernel on our executors, and operations on others. */
export const fusions: readonly Case[] = [
  smooth('silu', [float([2, 5])], (x: T) => fused.silu(x)),
  smooth('gelu', [float([2, 5])], (x: T) => fused.gelu(x)),
  smooth('gelu by tanh', [float([2, 5])], (x: T) => fused.gelu(x, { tanh: true })),
  ...[1, 2, 4].map((groups) => smooth(`groupNormalise in ${groups}`, [float([2, 3, 2, 4]), float([4]), float([4])],
    (x: T, weight: T, bias: T) => fused.groupNormalise(x, { groups, eps: 1e-2, weight, bias }), { step: 1e-2 })),
  smooth('layerNormalise', [float([2, 3, 4]), float([4]), float([4])], (x: T, weight: T, bias: T) => fused.layerNormalise(x, { eps: 1e-2, weight, bias }), { step: 1e-2 }),
  smooth('attend', [float([2, 3, 4]), float([2, 5, 4]), float([2, 5, 3])], (q: T, k: T, v: T) => fused.attend(q, k, v, 0.5)),
  smooth('attend to the same keys in every image', [float([2, 3, 4]), float([1, 5, 4]), float([1, 5, 3])], (q: T, k: T, v: T) => fused.attend(q, k, v, 0.5)),
  smooth('attend with heads', [float([2, 2, 3, 2]), float([2, 2, 3, 2]), float([2, 2, 3, 2])], (q: T, k: T, v: T) => fused.attend(q, k, v, 0.7)),
];
