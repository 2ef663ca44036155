/** Scoring a trained model on held-out pairs at several numbers of sampler steps. */
import { type Key, seeded } from '../random.ts';
import * as tf from '../tf.ts';
import type { Translate } from './method.ts';
import { type DecodedPair, heldOutKey, told, translateImages } from './validation.ts';
import { type ImageScores, type Metric, scoreImages } from './metrics.ts';

/** What a model says to a number of sampler steps. */
export type Acceptance = Readonly<{ accepts: true; asks: boolean } | { accepts: false; why: string }>;

/**
 * Whether a model samples with a number of steps; `asks` is false for one that does not look at the number, since it has one way only. Nothing is read back,
 * so a lazy engine computes nothing.
 * @param side of the image that is tried, in pixels
 */
export const acceptsSteps = (translate: Translate, steps: number, side: number): Acceptance => {
  let asks = false;
  const options = { keys: [seeded(0)], get steps() { asks = true; return steps; } };
  try {
    tf.tidy(() => { translate(tf.zeros([1, side, side, 3]), options); });
    return { accepts: true, asks };
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    return { accepts: false, why: cause.message };
  }
};

/** Scores of all held-out pairs, in their order, and what was made of the pairs that are shown. */
export type Scored = Readonly<{ scores: readonly ImageScores[]; pictures: readonly Float32Array[]; /** Of making alone. */ msPerImage: number }>;

/** Held-out pairs, and what to score on them. */
export type Trial = Readonly<{
  /** Each is loaded when its batch comes. */
  pairs: readonly (() => Promise<DecodedPair>)[];
  /** Side in pixels. */
  size: number;
  metrics: readonly Metric[];
  /** Images at a time. */
  batch: number;
  /** Places of the pairs whose pictures are kept. */
  shown: readonly number[];
}>;

/**
 * Scores what is made of each held-out source, a batch at a time.
 * @param make images for the sources of pairs, of which the first is pair `first`
 * @param options.untimed batches at the beginning whose time does not count, since they compile the graph
 */
export const scoreOn = async (
  { pairs, size, metrics, batch, shown }: Trial, make: (pairs: readonly DecodedPair[], first: number) => Promise<readonly Float32Array[]>,
  { untimed = 0, now = () => performance.now() }: { untimed?: number; now?: () => number } = {},
): Promise<Scored> => {
  const scores: ImageScores[] = [];
  const pictures: Float32Array[] = [];
  let spent = 0;
  for (let at = 0; at < pairs.length; at += batch) {
    const some = await Promise.all(pairs.slice(at, at + batch).map((load) => load()));
    const begun = now();
    const made = await make(some, at);
    if (at >= untimed * batch) spent += now() - begun;
    scores.push(...await scoreImages(metrics, made, some.map(({ target }) => target), [size, size], batch));
    pictures.push(...shown.filter((i) => i >= at && i < at + batch).map((i) => made[i - at] as Float32Array));
  }
  // A batch that is not full is filled up, and takes as long as a full one.
  return { scores, pictures, msPerImage: spent / ((Math.ceil(pairs.length / batch) - untimed) * batch) };
};

/** Scores at one number of steps. */
export type SweepResult = Scored & Readonly<{
  /** Sampler steps; undefined for the model's own number, where it takes none of those asked for. */
  steps: number | undefined;
}>;

export type Evaluation = Readonly<{ results: readonly SweepResult[]; refused: readonly Readonly<{ steps: number; why: string }>[] }>;

/**
 * Which of several numbers of steps a model takes, and why it refuses others; `asks` is false for one that does not look at the number.
 * @param side of the image that is tried, in pixels
 */
export const stepsTaken = (translate: Translate, sweep: readonly number[], side: number): Readonly<{ taken: readonly number[]; asks: boolean; refused: Evaluation['refused'] }> => {
  const answers = sweep.map((steps) => ({ steps, answer: acceptsSteps(translate, steps, side) }));
  return {
    taken: answers.flatMap(({ steps, answer }) => (answer.accepts ? [steps] : [])),
    asks: answers.some(({ answer }) => answer.accepts && answer.asks),
    refused: answers.flatMap(({ steps, answer }) => (answer.accepts ? [] : [{ steps, why: answer.why }])),
  };
};

/**
 * Scores a model at each of several numbers of steps.
 * @param numbers that the model takes; undefined for its own
 * @param keyOf the key of the pair at a place, for models that draw noise: the same for every model and number
 */
export const scoreSteps = async <N extends number | undefined>(translate: Translate, trial: Trial, numbers: readonly N[], keyOf: (place: number) => Key): Promise<readonly (Scored & Readonly<{ steps: N }>)[]> => {
  const { batch, size } = trial;
  const results: (Scored & Readonly<{ steps: N }>)[] = [];
  for (const steps of numbers) {
    const make = (some: readonly DecodedPair[], first: number): Promise<Float32Array[]> =>
      translateImages(translate, some.map(({ source }) => source), [size, size], { batch, keys: some.map((_, i) => keyOf(first + i)), ...told(some), ...(steps !== undefined && { steps }) });
    // The first batch compiles the graph. Where there is no other, it is run twice.
    const isOne = trial.pairs.length <= batch;
    if (isOne) await make(await Promise.all(trial.pairs.map((load) => load())), 0);
    results.push({ steps, ...await scoreOn(trial, make, { untimed: isOne ? 0 : 1 }) });
  }
  return results;
};

/**
 * Scores a model at each number of steps that it takes: once where it has one way only, or takes none of them. All noise follows from the seed and the pair.
 * @param options.multiple of which sides must be
 */
export const evaluate = async (translate: Translate, trial: Trial, { sweep, seed, multiple }: { sweep: readonly number[]; seed: number; multiple: number }): Promise<Evaluation> => {
  const { taken, asks, refused } = stepsTaken(translate, sweep, 2 * multiple);
  return { results: await scoreSteps(translate, trial, taken.length === 0 ? [undefined] : asks ? taken : [1], (place) => heldOutKey(seed, place)), refused };
};
