/** What an optimizer is: a pure rule on flat vectors, so that a network of a thousand tensors costs the graph as many nodes as a network of one. */
import type { Scalar, Tensor1D } from '../tf.ts';

export type Slots = Readonly<Record<string, Tensor1D>>;

export type Optimizer = Readonly<{
  name: string;
  /** The vectors it keeps beside the weights, each float32 [N], and what they start from. */
  slots: Readonly<Record<string, number>>;
  /** Its numbers that follow a schedule, by name, as functions of the update from 0: each comes back to `update` as a tensor, so that a schedule compiles nothing. */
  scheduled?: Readonly<Record<string, (update: number) => number>>;
  /**
   * One update. Must record the same graph for every step: what changes from step to step comes in as a tensor.
   * @param weights float32 [N]
   * @param gradient float32 [N]
   * @param lr learning rate of this step
   * @param count updates made so far, this one included: 1 at the first
   * @param scheduled the values of `scheduled` at this update
   */
  update: (weights: Tensor1D, gradient: Tensor1D, slots: Slots, lr: Scalar, count: Scalar, scheduled?: Readonly<Record<string, Scalar>>) => Readonly<{ weights: Tensor1D; slots: Slots }>;
}>;

/** The learning rate of step `step`, from 0. */
export type LearningRate = (step: number) => number;
