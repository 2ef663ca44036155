/** All kernels of the lazy backend. */
import type { Kernel, Shortcut } from '../registry.ts';
import { activations } from './activations.ts';
import { angles } from './angles.ts';
import { attentions } from './attention.ts';
import { blocks } from './blocks.ts';
import { complexShortcuts } from './complex.ts';
import { convolutions } from './conv.ts';
import { creations, shortcuts as made } from './creation.ts';
import { depthwise } from './depthwise.ts';
import { einsums } from './einsum.ts';
import { elementwise } from './elementwise.ts';
import { fusions } from './fused.ts';
import { gathers } from './gather.ts';
import { groupNorms } from './groupNorm.ts';
import { matMuls } from './matMul.ts';
import { normalisations } from './normalise.ts';
import { orders } from './order.ts';
import { pools } from './pool.ts';
import { reductions } from './reduce.ts';
import { resizes } from './resize.ts';
import { shapes } from './shape.ts';
import { volumes } from './volume.ts';
import { warps } from './warp.ts';

const own: readonly Kernel[] = [
  ...elementwise, ...angles, ...shapes, ...blocks, ...reductions, ...orders, ...matMuls, ...einsums, ...convolutions, ...depthwise, ...volumes, ...fusions, ...pools, ...resizes, ...warps, ...normalisations,
  ...activations, ...groupNorms, ...attentions,
  ...creations, ...gathers,
];
export const shortcuts: readonly Shortcut[] = [...made, ...complexShortcuts];

const answered = new Set(shortcuts.map(({ name }) => name));

/** Those that are recorded; a shortcut takes the place of the kernel of its name. */
export const kernels: readonly Kernel[] = own.filter(({ name }) => !answered.has(name));
