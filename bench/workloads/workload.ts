/** What the engine bench trains: a reference workload, as nets and the stretch of a stream that makes one step of them. */
import type { OperatorFunction } from 'rxjs';
import * as tf from '../../src/tf.ts';
import { type Key, normal } from '../../src/random.ts';
import type { Net } from '../../src/models/net.ts';
import type { Batch, Settled } from '../../src/streams/frames.ts';

/** A net of whatever inputs: what is asked of it here does not depend on them. */
export type AnyNet = Pick<Net, 'name' | 'variables' | 'weights'>;

/** A workload made live. The variables of `nets` belong to the caller. */
export type LiveWorkload<F extends Batch> = Readonly<{
  nets: readonly AnyNet[];
  /** The tensors of one step, as a decoder would deliver them: new at each step, the numbers the same unless the workload draws them anew. */
  frame: (step: number) => F;
  /** One training step; the metrics come out as numbers. */
  train: OperatorFunction<F, Settled>;
}>;

export type Workload<F extends Batch = Batch> = Readonly<{
  name: string;
  /** Images per step. */
  batch: number;
  /** Trained parameters of each net, by its name: the reference's counts. */
  parameters: Readonly<Record<string, number>>;
  /** The metric that is the training loss. */
  loss: string;
  start: () => LiveWorkload<F>;
}>;

/** The place of step `step` in a bench run. */
export const place = (step: number, batch: number): Batch => ({ step, epoch: 0, ids: Array.from({ length: batch }, (_, i) => `${i}`) });

/** Unit-normal values of a shape. */
export const gaussianValues = (key: Key, shape: readonly number[]): Float32Array => normal(key, tf.util.sizeFromShape([...shape]));

/** Frees what `start` made. */
export const stop = ({ nets }: Pick<LiveWorkload<Batch>, 'nets'>): void => { for (const { variables } of nets) tf.dispose({ ...variables }); };
