/** Scores on held-out pairs, beside what one gets without a network: copying the source, and the mean of the training targets. */
import { psnr } from '../losses/psnr.ts';
import { ssim } from '../losses/ssim.ts';
import { type Key, fold, seeded } from '../random.ts';
import * as tf from '../tf.ts';
import type { Translate } from './method.ts';
import type { Scores } from './observed.ts';
import type { StepScores } from './sweep.ts';

/** A decoded pair: float32, row-major [H, W, 3], in [-1, 1]; and what is said about it. */
export type DecodedPair = Readonly<{ id: string; prompt?: string | undefined; source: Float32Array; target: Float32Array }>;

/** What `Translate` is told about images, where anything is said about one of them. */
export const told = (pairs: readonly Pick<DecodedPair, 'prompt'>[]): Readonly<{ prompts?: readonly (string | undefined)[] }> =>
  (pairs.some(({ prompt }) => prompt !== undefined) ? { prompts: pairs.map(({ prompt }) => prompt) } : {});

/** Pairs that are not trained on, all of one size and without augmentation. */
export type HeldOut = Readonly<{
  height: number;
  width: number;
  /** Whether each pair is an image and itself, so that copying the source says nothing. */
  reconstructs: boolean;
  /** The pairs that can be read, in a fixed order. */
  pairs: () => Promise<readonly (() => Promise<DecodedPair>)[]>;
  /** Mean of training targets, pixel by pixel, and of how many; undefined when there are none. */
  meanTarget: () => Promise<Readonly<{ image: Float32Array; images: number }> | undefined>;
}>;

/** The contents of `validation.json`. */
export type Validation = Scores & Readonly<{
  /** Completed steps. */
  step: number;
  /** Held-out pairs that were scored. */
  images: number;
  /** Null for methods that reconstruct. */
  copySource: Scores | null;
  meanTarget: Scores;
  /** Training targets that the mean was taken over. */
  meanTargetImages: number;
  /** By sampler steps, on some of the pairs; of the last validation of a run whose model takes several. */
  bySteps?: readonly StepScores[];
}>;

/** The key of held-out pair `index`, for models that draw noise: the same at every validation. */
export const heldOutKey = (seed: number, index: number): Key => fold(seeded(seed), 'held out', index);

/** Equal images to one tensor: float32 [B, H, W, 3]. */
export const stackImages = (images: readonly Float32Array[], [height, width]: readonly [number, number]): tf.Tensor4D => {
  const size = height * width * 3;
  const values = new Float32Array(images.length * size);
  images.forEach((image, i) => { values.set(image, i * size); });
  return tf.tensor4d(values, [images.length, height, width, 3]);
};

const padded = <T>(items: readonly T[], count: number): T[] => Array.from({ length: count }, (_, i) => items[Math.min(i, items.length - 1)] as T);

/** What the model makes of each image, clamped to [-1, 1]: float32 [H, W, 3]. Always runs `batch` images, repeating the last one, so that one graph does for all. */
export const translateImages = async (translate: Translate, images: readonly Float32Array[], size: readonly [number, number], { keys, batch, steps, prompts }: {
  keys: readonly Key[]; batch: number; steps?: number; prompts?: readonly (string | undefined)[];
}): Promise<Float32Array[]> => {
  const outputs: Float32Array[] = [];
  for (let at = 0; at < images.length; at += batch) {
    const some = images.slice(at, at + batch);
    const result = tf.tidy(() => tf.clipByValue(translate(stackImages(padded(some, batch), size), { keys: padded(keys.slice(at, at + batch), batch), ...(steps !== undefined && { steps }), ...(prompts && { prompts: padded(prompts.slice(at, at + batch), batch) }) }), -1, 1));
    try {
      const values = await result.data() as Float32Array;
      const length = values.length / batch;
      some.forEach((_, i) => { outputs.push(values.slice(i * length, (i + 1) * length)); });
    } finally {
      result.dispose();
    }
  }
  return outputs;
};

/** PSNR (range 2, not rounded to bytes) and SSIM of each image of a batch. */
const scoreBatch = async (size: readonly [number, number], make: () => tf.Tensor4D, targets: readonly Float32Array[], count: number): Promise<Scores[]> => {
  const values = tf.tidy(() => {
    const target = stackImages(targets, size);
    const made = tf.clipByValue(make(), -1, 1) as tf.Tensor4D;
    return tf.stack([psnr(made, target), ssim(made, target)]);
  });
  try {
    const numbers = await values.data();
    return Array.from({ length: count }, (_, i) => ({ psnr: numbers[i] as number, ssim: numbers[targets.length + i] as number }));
  } finally {
    values.dispose();
  }
};

/** Mean PSNR (of the images, not of their mean error) and mean SSIM. */
export const meanScores = (scores: readonly Scores[]): Scores => ({
  psnr: scores.reduce((sum, { psnr }) => sum + psnr, 0) / scores.length,
  ssim: scores.reduce((sum, { ssim }) => sum + ssim, 0) / scores.length,
});

/** Scores what `make` does to each held-out pair, in batches of `batch`, the last one filled up by repetition. The mean does not depend on `batch`. */
const scoreAll = async (heldOut: HeldOut, batch: number, make: (sources: readonly Float32Array[], first: number, pairs: readonly DecodedPair[]) => tf.Tensor4D): Promise<Scores[]> => {
  const size = [heldOut.height, heldOut.width] as const;
  const pairs = await heldOut.pairs();
  const scores: Scores[] = [];
  for (let at = 0; at < pairs.length; at += batch) {
    const some = await Promise.all(pairs.slice(at, at + batch).map((load) => load()));
    const full = padded(some, batch);
    scores.push(...await scoreBatch(size, () => make(full.map(({ source }) => source), at, full), full.map(({ target }) => target), some.length));
  }
  return scores;
};

/**
 * Scores a model on the held-out pairs. Noise, where the model draws any, depends on the pair alone.
 * @returns mean scores and the number of pairs; undefined when there are no pairs
 */
export const scoreModel = async (heldOut: HeldOut, translate: Translate, { batch, seed }: { batch: number; seed: number }): Promise<Readonly<{ scores: Scores; images: number }> | undefined> => {
  const count = (await heldOut.pairs()).length;
  if (count === 0) return undefined;
  const size = [heldOut.height, heldOut.width] as const;
  const scores = await scoreAll(heldOut, batch, (sources, first, pairs) =>
    translate(stackImages(sources, size), { keys: sources.map((_, i) => heldOutKey(seed, Math.min(first + i, count - 1))), ...told(pairs) }));
  return { scores: meanScores(scores), images: count };
};

/** Scores of copying the source (null where that is the target), and of answering every source with the mean of the training targets. */
export const scoreBaselines = async (heldOut: HeldOut, batch: number): Promise<Pick<Validation, 'copySource' | 'meanTarget' | 'meanTargetImages'>> => {
  const size = [heldOut.height, heldOut.width] as const;
  const copySource = heldOut.reconstructs ? null : meanScores(await scoreAll(heldOut, batch, (sources) => stackImages(sources, size)));
  const mean = await heldOut.meanTarget();
  const meanTarget = mean ? meanScores(await scoreAll(heldOut, batch, (sources) => stackImages(sources.map(() => mean.image), size))) : { psnr: NaN, ssim: NaN };
  return { copySource, meanTarget, meanTargetImages: mean?.images ?? 0 };
};
