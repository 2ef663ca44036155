/** What pipelines that train autoencoders share: the network, and what a reconstruction is measured by. */
import { z } from 'zod';
import { normalisedGradient } from '../losses/adaptive.ts';
import { codebookLoss } from '../losses/codebook.ts';
import { convnextPerceptual } from '../losses/convnextPerceptual.ts';
import { edge } from '../losses/edge.ts';
import { klDivergence } from '../losses/kl.ts';
import { l1 } from '../losses/l1.ts';
import { mse } from '../losses/mse.ts';
import type { Term } from '../losses/objective.ts';
import { pooledMse } from '../losses/pooledMse.ts';
import { convnext } from '../models/convnext.ts';
import { lpips } from '../models/lpips.ts';
import { type Net, type StateDict, applyNet, givenNet, makeNet } from '../models/net.ts';
import { type Coded, type Noise, type Vae, type View, type Views, plainView, smallAutoencoder, vae } from '../models/vae.ts';
import { type Key, fold, normal, seeded } from '../random.ts';
import type { Pair } from '../streams/frames.ts';
import * as tf from '../tf.ts';
import { type optimOptions, optimizerOf, rateOf } from './options.ts';

const count = (value: number, text: string) => z.number().int().min(1).default(value).describe(text);
const weight = (value: number, text: string) => z.number().min(0).default(value).describe(text);

/** The autoencoder. */
export const autoencoderOptions = (given: { base: number; multipliers: number[]; depth: number; channels: number }) => z.object({
  base: count(given.base, 'width at full resolution'),
  multipliers: z.array(z.number().int().min(1)).min(1).default(given.multipliers).describe('width multiplier per resolution; each but the first halves the side'),
  depth: count(given.depth, 'residual blocks per resolution'),
  channels: count(given.channels, 'channels of the latent'),
  groups: count(8, 'groups of every normalisation'),
  attention: z.boolean().default(false).describe('whether the lowest resolution attends'),
  model: z.record(z.string(), z.unknown()).default({}).describe('fields of diffusers\' AutoencoderKL that go before all of these; --init with a folder of diffusers fills them in'),
  posterior: z.enum(['learned', 'fixed']).default('learned').describe('whether the encoder says how far latents are spread, or network.std does'),
  std: weight(0, 'deviation of a fixed posterior; 0 is a plain autoencoder'),
  bound: z.number().positive().optional().describe('latents are clamped to plus or minus this; not by default'),
  logvar: z.number().default(-6).describe('where the log variance of a fresh network begins'),
  codebook: z.number().int().min(0).default(0).describe('entries of a codebook that regularises latents; 1024 in HakuLatent'),
  parts: count(1, 'parts that the codebook cuts each latent vector into'),
  train: z.enum(['all', 'decoder']).default('all').describe('what is trained; with decoder, latents stay what they were'),
  scaling: z.enum(['one', 'channels', 'keep']).default('one').describe('how the kept autoencoder brings latents to unit variance: one factor for all or one per channel, measured at the end, or as configured'),
});
type NetworkOptions = z.output<ReturnType<typeof autoencoderOptions>>;

/** Weights of what a reconstruction is measured by; each term is a mean over all values. */
export const reconstructionOptions = (given: { l1: number; l2: number; lpips: number; kl: number }) => z.object({
  l1: weight(given.l1, 'mean absolute error'),
  l2: weight(given.l2, 'mean squared error'),
  pooled: weight(0, 'mean squared error at an eighth of the resolution'),
  edge: weight(0, 'mean absolute error of Sobel slopes'),
  lpips: weight(given.lpips, 'perceptual distance, where perceptual.lpips gives its weights'),
  convnext: weight(0, 'distance of ConvNeXt features, where perceptual.convnext gives its weights'),
  kl: weight(given.kl, 'KL divergence, summed over the latent and divided by the values of an image, as a sum over pixels and latents has it'),
  z: weight(0, 'mean squared latent'),
  codebook: weight(0, 'distance of latents to the nearest entry of a codebook of network.codebook entries; 1 in HakuLatent'),
});
export type LossOptions = z.output<ReturnType<typeof reconstructionOptions>>;

/** Where perceptual losses come from. */
export const perceptualOptions = () => z.object({
  backbone: z.enum(['vgg', 'alex', 'squeeze']).default('vgg').describe('trunk of LPIPS'),
  lpips: z.array(z.string()).default([]).describe('weights files of LPIPS: torchvision trunk and linear layers'),
  convnext: z.array(z.string()).default([]).describe('weights files of a ConvNeXt (tiny)'),
});
type PerceptualOptions = z.output<ReturnType<typeof perceptualOptions>>;

/** The files to read, by the names `perceptualNets` looks for. */
export const perceptualFiles = ({ lpips: files, convnext: trunk }: PerceptualOptions): Readonly<Record<string, readonly string[]>> => ({ lpips: files, convnext: trunk });

/** The perceptual networks whose weights are given, as resources of the run. */
export const perceptualNets = ({ backbone }: PerceptualOptions, given: Readonly<Record<string, StateDict>> = {}) => ({
  ...(given['lpips'] && { lpips: givenNet(lpips(backbone), given['lpips']) }),
  ...(given['convnext'] && { convnext: givenNet(convnext(), given['convnext']) }),
});
export type PerceptualNets = ReturnType<typeof perceptualNets>;

/** The network to train, under the name `vae`. */
export const vaeOf = ({ model, posterior, std, bound, logvar, codebook: size, parts, ...shape }: NetworkOptions): Vae =>
  vae({ model: { ...smallAutoencoder(shape), ...model }, logvar, ...(posterior === 'fixed' && { std }), ...(bound !== undefined && { bound }), ...(size > 0 && { codebook: { size, parts } }) });

/** The same, live. With `train: decoder` the encoder and what follows it are frozen. */
export const vaeNet = (network: Vae, { network: { train }, optim, steps, seed }: Readonly<{ network: NetworkOptions; optim: z.output<ReturnType<typeof optimOptions>>; steps: number; seed: number }>, given: Readonly<Record<string, StateDict>> = {}): Net<[image: tf.Tensor4D, noise?: Noise, views?: Views], Coded> =>
  makeNet(network, {
    key: fold(seeded(seed), network.name), optimizer: optimizerOf(optim), lr: rateOf(optim, steps), accumulate: optim.accumulate, shadow: true, given: given[network.name] ?? {},
    ...(train === 'decoder' && { trainable: (name: string) => /^(decoder|post_quant_conv)\./.test(name) }),
  });

/** What `backward` is told to run: the target coded and decoded, in the views of the step. @param key draws the posterior's noise */
export const reconstructing = (key: Key, viewsOf: (step: number) => Views = () => plainView) => (net: (image: tf.Tensor4D, noise?: Noise, views?: Views) => Coded, { target, step }: Pair): Coded =>
  net(target, noiseAt(fold(key, 'posterior'), step), viewsOf(step));

/** Unit normal noise of one step, by name and shape. */
export const noiseAt = (key: Key, step: number): Noise => (name, shape) => tf.tensor(normal(fold(key, name, step), shape.reduce((product, n) => product * n, 1)), [...shape]);

export type TermOptions = Readonly<{
  /** What views count for, in their order; one view by itself counts 1. */
  weights?: readonly number[];
  /** Each term pulls at each output with a gradient as long as its weight, whatever its value. */
  normalised?: boolean;
}>;

type Distance = (output: tf.Tensor4D, image: tf.Tensor4D) => tf.Scalar;

/** A distance of images as a weighted term over all views. */
export const overViews = (weight: number, distance: Distance, { weights = [1], normalised = false }: TermOptions = {}): readonly [number, Term<Pick<Coded, 'views'>>] => [
  normalised && weight > 0 ? 1 : weight,
  ({ views }) => views.map(({ image, output }: View, i) => tf.mul<tf.Scalar>(distance(normalised ? normalisedGradient(output, weight) : output, image), weights[i] ?? 1)).reduce((a, b) => tf.add(a, b)),
];

/** The terms of a reconstruction objective, for `weighted`. */
export const reconstructionTerms = (loss: LossOptions, { lpips: perceptual, convnext: trunk }: PerceptualNets, options: TermOptions = {}): Readonly<Record<string, readonly [number, Term<Coded>]>> => ({
  l1: overViews(loss.l1, l1, options),
  l2: overViews(loss.l2, mse, options),
  pooled: overViews(loss.pooled, (output, image) => pooledMse(output, image), options),
  edge: overViews(loss.edge, edge, options),
  ...(perceptual && { lpips: overViews(loss.lpips, (output, image) => tf.mean(applyNet(perceptual.net)(output, image).total), options) }),
  ...(trunk && { convnext: overViews(loss.convnext, (output, image) => convnextPerceptual(applyNet(trunk.net), output, image, { layers: [2, 6, 10, 14], gram: false }), options) }),
  kl: [loss.kl, ({ mean, logvar, views }) => tf.div(tf.mean(klDivergence(mean, logvar)), imageSize(views))],
  z: [loss.z, ({ latent }) => tf.mean(tf.square(latent))],
  codebook: [loss.codebook, ({ latent, codebook }) => (codebook ? codebookLoss(latent, codebook) : tf.scalar(0))],
});

/** Values of one image at full size. */
const imageSize = (views: readonly View[]): number => Math.max(...views.map(({ image }) => image.size / image.shape[0]));

/** What a run says of perceptual terms it goes without. */
export const withoutPerceptual = (loss: Pick<LossOptions, 'lpips' | 'convnext'>, nets: PerceptualNets): readonly string[] => [
  ...(loss.lpips > 0 && !nets.lpips ? ['no LPIPS weights are given (perceptual.lpips): training without the perceptual term'] : []),
  ...(loss.convnext > 0 && !nets.convnext ? ['no ConvNeXt weights are given (perceptual.convnext): training without that term'] : []),
];
