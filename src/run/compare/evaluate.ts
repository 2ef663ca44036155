/** Scoring a trained model on held-out pairs at several numbers of sampler steps. */
import { seeded } from '../../random.ts';
import * as tf from '../../tf.ts';
import type { Translate } from '../method.ts';
import { type DecodedPair, heldOutKey, translateImages } from '../validation.ts';
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

/** Scores at one number of steps. */
export type SweepResult = Readonly<{
  /** Sampler steps; undefined for the model's own number, where it takes none of those asked for. */
  steps: number | undefined;
  /** One per held-out pair, in their order. */
  scores: readonly ImageScores[];
  msPerImage: number;
  /** Of the pairs that are shown. */
  pictures: readonly Float32Array[];
}>;

export type Evaluation = Readonly<{ results: readonly SweepResult[]; refused: readonly Readonly<{ steps: number; why: string }>[] }>;

/**
 * Scores a model at each number of steps that it takes. All noise follows from the seed and the pair, so equal seeds give equal noise to every model.
 * @param shown places of the pairs whose pictures are kept @param options.multiple of which sides must be
 */
export const evaluate = async (translate: Translate, pairs: readonly DecodedPair[], size: number, { metrics, sweep, batch, seed, shown, multiple, now = () => performance.now() }: {
  metrics: readonly Metric[]; sweep: readonly number[]; batch: number; seed: number; shown: readonly number[]; multiple: number; now?: () => number;
}): Promise<Evaluation> => {
  const answers = sweep.map((steps) => ({ steps, answer: acceptsSteps(translate, steps, 2 * multiple) }));
  const refused = answers.flatMap(({ steps, answer }) => (answer.accepts ? [] : [{ steps, why: answer.why }]));
  const taken = answers.filter(({ answer }) => answer.accepts);
  const asks = taken.some(({ answer }) => answer.accepts && answer.asks);
  const numbers = taken.length === 0 ? [undefined] : asks ? taken.map(({ steps }) => steps) : [1];
  const [sources, targets] = [pairs.map(({ source }) => source), pairs.map(({ target }) => target)];
  const keys = pairs.map((_, i) => heldOutKey(seed, i));
  const results: SweepResult[] = [];
  for (const steps of numbers) {
    const options = { batch, ...(steps !== undefined && { steps }) };
    // The first batch compiles the graph; it is not timed.
    await translateImages(translate, sources.slice(0, batch), [size, size], { ...options, keys: keys.slice(0, batch) });
    const begun = now();
    const made = await translateImages(translate, sources, [size, size], { ...options, keys });
    const msPerImage = (now() - begun) / (Math.ceil(pairs.length / batch) * batch);
    results.push({ steps, scores: await scoreImages(metrics, made, targets, [size, size], batch), msPerImage, pictures: shown.map((i) => made[i] as Float32Array) });
  }
  return { results, refused };
};
