import * as tf from '../../tf.ts';
import { gelu, mish, silu } from '../nn.ts';

/** Activations by the names configurations use. */
const activations = { silu, swish: silu, mish, gelu, relu: <T extends tf.Tensor>(x: T): T => tf.relu(x) };

export type ActivationName = keyof typeof activations;
export const activationNames = ['silu', 'swish', 'mish', 'gelu', 'relu'] as const satisfies readonly ActivationName[];

export const activation = (name: ActivationName): (<T extends tf.Tensor>(x: T) => T) => activations[name];
