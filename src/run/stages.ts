/** The two stretches that all pipelines share: from file names to a batch of tensors, and from a step that has run to its reports. */
import { type Observable, type OperatorFunction, pipe } from 'rxjs';
import type { z } from 'zod';
import { crop } from '../data/augmentations/crop.ts';
import { flip } from '../data/augmentations/flip.ts';
import { hue } from '../data/augmentations/hue.ts';
import { rotate } from '../data/augmentations/rotate.ts';
import { saturation } from '../data/augmentations/saturation.ts';
import { shift } from '../data/augmentations/shift.ts';
import { augment } from '../operators/augment.ts';
import { batch } from '../operators/batch.ts';
import { checkpoint } from '../operators/checkpoint.ts';
import { decodePairs } from '../operators/decodePairs.ts';
import { guard } from '../operators/guard.ts';
import { report } from '../operators/report.ts';
import { sample } from '../operators/sample.ts';
import { validate } from '../operators/validate.ts';
import { fold, seeded } from '../random.ts';
import type { CreditGate } from '../streams/creditGate.ts';
import type { Pair, Prompted, Settled } from '../streams/frames.ts';
import { pairBatches } from '../streams/pairBatches.ts';
import type { Resource } from '../streams/scoped.ts';
import { heldOutOf } from './heldOut.ts';
import type { Part, RunContext, Translate } from './method.ts';
import type { augmentOptions, dataOptions, feedOptions, trackOptions } from './options.ts';
import { sampleStrips } from './sampleStrips.ts';

/** The groups of a configuration that these stretches read. */
export type StagesConfig = Readonly<{
  data: z.output<ReturnType<typeof dataOptions>>;
  feed: z.output<ReturnType<typeof feedOptions>>;
  augment: z.output<ReturnType<typeof augmentOptions>>;
  track: z.output<ReturnType<typeof trackOptions>>;
  /** Of methods whose models take several sampler steps. */
  sample?: Readonly<{ steps: number; sweep?: readonly number[] }>;
}>;

/**
 * From the dataset to tensors: names by credits, plans of augmentation, decoding on worker threads, one frame at a time from there on.
 * @param gate the run's; pass its `settle` at the end of the pipeline
 * @returns frames of `Pair` with their prompts, from `run.start` to `run.steps`
 */
export const pairsOf = (run: RunContext, gate: CreditGate, { data, feed, augment: given }: StagesConfig): Observable<Pair & Prompted> => {
  const { size, batch: perStep } = data;
  const augmentations = [
    ...(given.rotate > 0 ? [rotate(given.rotate)] : []), ...(given.crop < 1 ? [crop(given.crop)] : []), ...(given.shift > 0 ? [shift(given.shift, { pixels: size })] : []), ...(given.flip > 0 ? [flip(given.flip)] : []),
    ...(given.hue > 0 ? [hue(given.hue)] : []), ...(given.saturation > 0 ? [saturation(given.saturation)] : []),
  ];
  return gate.pull(pairBatches(run.dataset.train, { batch: perStep, seed: run.seed, from: run.start, steps: run.steps })).pipe(
    augment(fold(seeded(run.seed), 'augment'), ...augmentations),
    decodePairs({ size, workers: feed.workers, cache: feed.cache, strict: run.strict, skipped: run.skippedFiles, ...(run.decoders && { open: run.decoders }) }),
    gate.inTurn(),
    batch(),
  );
};

/**
 * From a step that has run to what is kept of it: dropped updates, scores, samples, logs, checkpoints. Each is done before the next step begins, and the step is
 * saved also when one of those that look at it fails.
 * @param resources what checkpoints save @param translate the model with its averaged weights @param options.latents an encoder: samples show latents in place of sources
 */
export const observe = (run: RunContext, gate: CreditGate, { data, track, sample: sampling }: StagesConfig, resources: Readonly<Record<string, Resource>>, translate: Translate,
  { latents }: { latents?: Part } = {}): OperatorFunction<Settled, Settled> => {
  const heldOut = heldOutOf(run, { size: data.size });
  const observers = pipe(
    gate.stage('engine', pipe(
      validate<Settled>(run, heldOut, translate, { every: track.validateEvery, batch: data.batch, ...(sampling?.sweep && { sweep: sampling.sweep }) }),
      sample(run, gate, heldOut, translate, { every: track.sampleEvery, ...(latents && { draw: sampleStrips(run, heldOut, translate, { count: 4, latents }) }) }),
    )),
    gate.stage('disk', report(run, gate, { every: track.logEvery })),
  );
  return pipe(
    guard<Settled>(run),
    checkpoint(run, resources, observers, { every: track.saveEvery, keep: track.keep }),
  );
};
