/** What a decoder of TAESD's family is held to beside its critic, and the mixtures its author has described. */
import type { Lpips } from '../models/lpips.ts';
import { type Net, applyNet } from '../models/net.ts';
import * as tf from '../tf.ts';
import { frequencyAmplitude } from './frequency.ts';
import { mse } from './mse.ts';
import { type Objective, type Term, alsoReported, weighted } from './objective.ts';
import { pooledMse } from './pooledMse.ts';

type Image = tf.Tensor4D;

/** Weights of a recipe's terms; `latentGan` is that of the encoder's critic. */
export type RecipeWeights = Readonly<Record<'gan' | 'mse' | 'lpips' | 'amplitude' | 'low' | 'latentGan', number>>;

const none: RecipeWeights = { gan: 0, mse: 0, lpips: 0, amplitude: 0, low: 0, latentGan: 0 };

/**
 * By the author's description. `mse`: what a pretraining, or a blurred comparison, is; `v1.0`: adversarial and tiny MSE; `v1.1`: LPIPS besides, below the adversarial term;
 * `auxiliary`: adversarial with LPIPS, frequency amplitudes and MSE at an eighth of the resolution; `v1.2`: adversarial and very faint low-resolution MSE, and a critic of latents.
 * The author gave proportions in words only: these numbers are ours, for images in [-1, 1] and runs of hundreds of steps, in which a critic of full weight does more harm than good.
 */
export const taesdRecipes = {
  mse: { ...none, mse: 1 },
  'v1.0': { ...none, gan: 0.1, mse: 1 },
  'v1.1': { ...none, gan: 0.1, mse: 1, lpips: 0.05 },
  auxiliary: { ...none, gan: 0.1, lpips: 0.05, amplitude: 0.1, low: 1 },
  'v1.2': { ...none, gan: 0.1, low: 0.5, latentGan: 0.01 },
} as const satisfies Readonly<Record<string, RecipeWeights>>;

export type Recipe = keyof typeof taesdRecipes;
export const recipeNames = Object.keys(taesdRecipes) as [Recipe, ...Recipe[]];

/** What a decoder made: float32 [B, H, W, 3], about [-1, 1]. */
export type Decoded = Readonly<{ output: Image }>;
type Made = Decoded & Readonly<{ target: Image }>;

/**
 * What a decoder minimises: the recipe's terms on its output and target, float32 [B, H, W, 3] in [-1, 1], and the critic's. Reports their mean squared error as `distance`
 * besides, since an adversarial term says nothing of quality.
 * @param options.perceptual LPIPS, where its weights are given
 * @param options.gan the generator's half of a game; left out, nothing plays against the decoder
 * @param options.factor of the game on top of its weight, such as that of `divergenceControl`
 */
export const decoderObjective = <F extends Made>({ mse: l2, lpips, amplitude, low, gan: against }: RecipeWeights, { perceptual, gan, factor = 1 }: {
  perceptual?: Net<[x: Image, y: Image], Lpips> | undefined; gan?: Term<F> | undefined; factor?: tf.Tensor | number | undefined;
}): Objective<F> => alsoReported(weighted<F>({
  mse: [l2, ({ output, target }) => mse(output, target)],
  amplitude: [amplitude, ({ output, target }) => frequencyAmplitude(output, target)],
  low: [low, ({ output, target }) => pooledMse(output, target)],
  ...(perceptual && { lpips: [lpips, ({ output, target }) => tf.mean(applyNet(perceptual)(output, target).total)] as const }),
  ...(gan && { gan: [against, (frame: F) => tf.mul<tf.Scalar>(gan(frame), factor)] as const }),
}), { distance: ({ output, target }) => mse(output, target) });
