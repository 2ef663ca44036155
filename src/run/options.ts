/** Option groups that methods share. A pipeline file gives the numbers, these say what they mean: the head of the file stays one object of defaults. */
import { z } from 'zod';
import { type ImageSide, imageSides } from '../data/reconstruction.ts';
import { adamw } from '../optim/adamw.ts';
import { cosine } from '../optim/learningRate.ts';
import type { LearningRate, Optimizer } from '../optim/optimizer.ts';

const share = (value: number, text: string) => z.number().min(0).max(1).default(value).describe(text);
const count = (value: number, text: string) => z.number().int().min(1).default(value).describe(text);

/** What is trained on. */
export const dataOptions = ({ root, size, batch }: { root: string; size: number; batch: number }) => z.object({
  root: z.string().default(root).describe('folder of the paired dataset').meta({ flag: 'data' }),
  size: z.number().int().min(8).default(size).describe('side of the training images, in pixels').meta({ flag: 'size' }),
  batch: count(batch, 'images per step').meta({ flag: 'batch' }),
});

/** What a method that reconstructs is trained on: the images of a paired dataset, one by one. */
export const imageOptions = ({ images, ...given }: { root: string; size: number; batch: number; images: ImageSide }) => dataOptions(given).extend({
  images: z.enum(imageSides).default(images).describe('which images of the pairs are reconstructed'),
});

/** How the engine is fed. */
export const feedOptions = ({ credits, workers, cache }: { credits: number; workers: number; cache: string }) => z.object({
  credits: count(credits, 'batches in flight, from file names to the end of their step'),
  workers: count(workers, 'images decoded at the same time'),
  cache: z.string().default(cache).describe('where decoded images are kept: a size in memory such as 512MB, disk, or off'),
});

/** What changes from one sight of a pair to the next; source and target always alike. */
export const augmentOptions = (given: { shift: number; rotate: number; crop: number; flip: number; hue: number; saturation: number }) => z.object({
  shift: z.number().min(0).default(given.shift).describe('largest shift, as a share of the side'),
  rotate: z.number().min(0).max(180).default(given.rotate).describe('largest rotation, in degrees'),
  crop: z.number().min(0.1).max(1).default(given.crop).describe('smallest share of the side that a random crop keeps; 1 crops nothing'),
  flip: share(given.flip, 'probability of a horizontal flip'),
  hue: z.number().min(0).max(180).default(given.hue).describe('largest hue rotation, in degrees, on both images'),
  saturation: z.number().min(0).max(1).default(given.saturation).describe('largest change of saturation, as a share, on both images'),
});

/** How weights move. */
export const optimOptions = (given: { lr: number; beta1: number; beta2: number; weightDecay: number; amsgrad: boolean; clip: number; warmUp: number; accumulate: number }) => z.object({
  lr: z.number().positive().default(given.lr).describe('learning rate at the end of the warm-up'),
  beta1: z.number().min(0).lt(1).default(given.beta1).describe('decay of the mean gradient'),
  beta2: z.number().min(0).lt(1).default(given.beta2).describe('decay of the mean squared gradient'),
  weightDecay: z.number().min(0).default(given.weightDecay).describe('decoupled weight decay'),
  amsgrad: z.boolean().default(given.amsgrad).describe('divide by the largest second moment so far'),
  clip: z.number().positive().default(given.clip).describe('bound on the global gradient norm'),
  warmUp: z.number().int().min(0).default(given.warmUp).describe('updates of linear warm-up, before the cosine decay'),
  accumulate: count(given.accumulate, 'steps whose gradients make one update'),
});

/** What is watched and kept. */
export const trackOptions = (given: { halfLife: number; logEvery: number; sampleEvery: number; validateEvery: number; saveEvery: number; keep: number }) => z.object({
  halfLife: z.number().positive().default(given.halfLife).describe('half-life of the averaged weights, in images'),
  logEvery: count(given.logEvery, 'steps between lines of metrics.jsonl'),
  sampleEvery: count(given.sampleEvery, 'steps between sample strips'),
  validateEvery: count(given.validateEvery, 'steps between validations'),
  saveEvery: count(given.saveEvery, 'steps between checkpoints'),
  keep: count(given.keep, 'newest checkpoints that are kept, beside the best'),
});

/** AdamW with a group of `optimOptions`. */
export const optimizerOf = ({ beta1, beta2, weightDecay, amsgrad, eps = 1e-8 }: z.output<ReturnType<typeof optimOptions>> & { eps?: number }): Optimizer => adamw({ beta1, beta2, weightDecay, amsgrad, eps });

/** Linear warm-up and cosine decay, to `floor` (a share of the rate; 0), over the updates that `steps` steps make. */
export const rateOf = ({ lr, warmUp, accumulate, floor = 0 }: z.output<ReturnType<typeof optimOptions>> & { floor?: number }, steps: number): LearningRate => {
  const updates = Math.max(1, Math.ceil(steps / accumulate));
  return cosine(lr, { warmUp: Math.min(warmUp, updates), steps: updates, end: floor * lr });
};

/** The network of the time-conditioned methods. */
export const denoiserOptions = (given: { base: number; multipliers: number[]; depth: number; attention: boolean; conditioned: boolean }) => z.object({
  base: count(given.base, 'width at full resolution'),
  multipliers: z.array(z.number().int().min(1)).min(1).default(given.multipliers).describe('width multiplier per resolution'),
  depth: count(given.depth, 'residual blocks per resolution'),
  attention: z.boolean().default(given.attention).describe('whether the lowest resolution attends'),
  retentive: z.boolean().default(false).describe('whether its attention fades with distance (Manhattan self-attention)'),
  groups: count(8, 'groups of every normalisation'),
  conditioned: z.boolean().default(given.conditioned).describe('whether the network sees the source beside the noisy image'),
});

/** What autoencoders' recipes say of the optimizer beside the rest. */
export const recipeOptimOptions = (given: Parameters<typeof optimOptions>[0]) => optimOptions(given).extend({
  eps: z.number().positive().default(1e-8).describe('added to the root of the second moment'),
  floor: share(0, 'where the decay ends, as a share of the learning rate'),
});

/** How the trained model is sampled, of methods that take several steps; `--set sample.steps` at training and `--steps` at inference choose anew. */
export const sampleOptions = ({ steps, sweep = [1, 2, 4, 8] }: { steps: number; sweep?: number[] }) => z.object({
  steps: count(steps, 'network calls per image'),
  sweep: z.array(z.number().int().min(1)).default(sweep).describe('numbers of calls that the last validation scores side by side; [] for none'),
});

/** Steps and seed, with the flags all pipelines have. */
export const stepsOption = (steps: number) => z.number().int().min(1).default(steps).describe('training steps of the whole run').meta({ flag: 'steps' });
export const seedOption = (seed: number) => z.number().int().min(0).default(seed).describe('every random draw follows from it').meta({ flag: 'seed' });
