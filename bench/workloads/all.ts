import type { Batch } from '../../src/streams/frames.ts';
import { convstack } from './convstack.ts';
import { dit } from './dit.ts';
import { pix2pix } from './pix2pix.ts';
import { taesd } from './taesd.ts';
import type { Workload } from './workload.ts';

/** The reference workloads, by name; each takes frames of its own kind. */
export const workloads = { convstack, taesd, pix2pix, dit } as unknown as Readonly<Record<string, Workload<Batch>>>;
