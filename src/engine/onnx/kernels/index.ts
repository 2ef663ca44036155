/** All kernels of the lazy backend. */
import type { Kernel, Shortcut } from '../registry.ts';
import { convolutions } from './conv.ts';
import { creations, shortcuts as made } from './creation.ts';
import { elementwise } from './elementwise.ts';
import { gathers } from './gather.ts';
import { matMuls } from './matMul.ts';
import { reductions } from './reduce.ts';
import { shapes } from './shape.ts';

export const kernels: readonly Kernel[] = [...elementwise, ...shapes, ...reductions, ...matMuls, ...convolutions, ...creations, ...gathers];
export const shortcuts: readonly Shortcut[] = [...made];
