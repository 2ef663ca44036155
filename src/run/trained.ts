import type { z } from 'zod';
import { type Net, type StateDict, makeNet } from '../models/net.ts';
import type { Network } from '../models/network.ts';
import { piecewise } from '../optim/learningRate.ts';
import type { LearningRate } from '../optim/optimizer.ts';
import { fold, seeded } from '../random.ts';
import { type optimOptions, optimizerOf, rateOf } from './options.ts';

/**
 * Makes a network live with the optimizer and learning rate of an `optimOptions` group; its draws follow from the seed and its name.
 * @param given weights to start from, by net name @param options.shadow whether it keeps an EMA (the default)
 * @param options.trainable which parameters move; all by default @param options.lr in place of the group's warm-up and cosine
 * @param options.as the name its draws follow from, for networks that are to begin alike
 * @param options.phases lengths of the run's phases, in steps, where each is to have a warm-up and decay of its own
 */
export const trainedNet = <I extends readonly unknown[], O>(network: Network<I, O>, { optim, steps, seed }: Readonly<{ optim: z.output<ReturnType<typeof optimOptions>>; steps: number; seed: number }>,
  given: Readonly<Record<string, StateDict>> = {}, { shadow = true, as = network.name, trainable, phases = [steps], lr = piecewise(phases.map((length) => [Math.ceil(length / optim.accumulate), rateOf(optim, length)]), () => 0) }:
    { shadow?: boolean; as?: string; trainable?: (name: string) => boolean; phases?: readonly number[]; lr?: LearningRate } = {}): Net<I, O> =>
  makeNet(network, { key: fold(seeded(seed), as), optimizer: optimizerOf(optim), lr, accumulate: optim.accumulate, shadow, given: given[network.name] ?? {}, ...(trainable && { trainable }) });
