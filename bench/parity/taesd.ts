/** The TAESD family in its original layout: real weights where they are at hand, generated ones otherwise. */
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import type { Autoencoder } from '../../src/models/autoencoder.ts';
import { quantiseLatent } from '../../src/models/autoencoderTiny.ts';
import type { StateDict } from '../../src/models/net.ts';
import { type TaesdVariant, joinTaesd, taesd } from '../../src/models/taesd.ts';
import { gradientsOf } from '../../src/models/tape.ts';
import { checkStateDict } from '../../src/models/weights/report.ts';
import { readStateDict } from '../../src/models/weights/safetensors.ts';
import * as tf from '../../src/tf.ts';
import { compareTensor, paramsFrom } from './compare.ts';
import { type Comparison, type Golden, type Handler, generatedWeights, imageOf, toNchw, toleranceOf } from './golden.ts';

type Image = tf.Tensor4D;
type Order = readonly Readonly<{ name: string; shape: readonly number[]; scale: number }>[];

/** A folder and all that hold it. */
const upwards = (folder: string): string[] => (folder === dirname(folder) ? [folder] : [folder, ...upwards(dirname(folder))]);

/** A file of real weights: in `weights/taesd` or `shared/weights/taesd` of a folder that holds the golden, or of one that holds the working directory. */
const findWeights = (folder: string, file: string): string => {
  const places = [...upwards(resolve(folder)), ...upwards(process.cwd())].flatMap((at) => ['weights', 'shared/weights'].map((below) => join(at, below, 'taesd', file)));
  const found = places.find((path) => existsSync(path));
  if (found === undefined) throw new TypeError(`${file} is in no weights/taesd or shared/weights/taesd above ${folder} or the working directory`);
  return found;
};

const read = async (path: string): Promise<StateDict> => {
  const state = await readStateDict(path)();
  if (E.isLeft(state)) throw state.left;
  return state.right;
};

/** Weights of whichever halves the golden names; a half that is absent is zeros, and then not compared. */
const weightsOf = async ({ folder, manifest, weights }: Golden, network: Autoencoder): Promise<StateDict> => {
  if (Object.keys(weights).length > 0) return weights;
  if (Array.isArray(manifest.weight_order)) return generatedWeights(manifest.weight_order as Order, Number(manifest.config['lcg_seed']));
  const files = [...String(manifest.config['weights']).matchAll(/[\w-]+\.safetensors/g)].map(([file]) => file);
  const half = async (side: string): Promise<StateDict> => {
    const file = files.find((name) => name.includes(side));
    if (file !== undefined) return read(findWeights(folder, file));
    return Object.fromEntries([...network.specs].filter(([name]) => name.startsWith(`${side}.`)).map(([name, { shape }]) =>
      [name.slice(side.length + 1), { shape, data: new Float32Array(shape.reduce((product, n) => product * n, 1)) }]));
  };
  return joinTaesd(await half('encoder'), await half('decoder'));
};

const variantOf = ({ manifest }: Pick<Golden, 'manifest'>): TaesdVariant => {
  const words = JSON.stringify([manifest.config, manifest.source, manifest.name]);
  if (/flux_2|taef2/.test(words)) return 'f8Pool';
  return /F32Encoder|F32Decoder|taesana|"f32"/.test(words) ? 'f32' : 'f8';
};

const run = async (golden: Golden): Promise<Comparison[]> => {
  const { io } = golden;
  const variant = variantOf(golden);
  const channels = io['latents']?.shape[1] ?? Number(golden.manifest.config['latent_channels'] ?? 4);
  const network = taesd({ variant, channels });
  const weights = await weightsOf(golden, network);
  checkStateDict(network, weights, golden.manifest.name);
  const results: Record<string, tf.Tensor> = tf.tidy(() => {
    const params = paramsFrom(weights);
    const image = imageOf(golden, 'image');
    const encode = (x: Image): Image => network.encode(params, tf.sub(tf.mul(x, 2), 1));
    const decode = (z: Image): Image => tf.div(tf.add(network.decode(params, z), 1), 2);
    const latents = encode(image);
    if (!('reconstruction' in io)) return { latents: toNchw(latents) };
    const reconstruction = decode(latents);
    const mse = tf.mean(tf.square(tf.sub(reconstruction, image)));
    const quantised = tf.round(tf.mul(tf.clipByValue(tf.add(tf.div(latents, 6), 0.5), 0, 1), 255));
    const gradNames = Object.keys(io).filter((name) => name.startsWith('grad'));
    const paramNames = gradNames.filter((name) => name.startsWith('grad.param.')).map((name) => name.slice('grad.param.'.length));
    const leaves = [image, ...paramNames.map((name) => params[name] as tf.Tensor)];
    const seed = 'grad_seed' in io ? imageOf(golden, 'grad_seed') : undefined;
    const { grads: [gradImage, ...gradParams] } = gradientsOf(leaves, () => {
      const y = decode(encode(image));
      // The mean squared error's target is a constant: the gradient flows through the reconstruction alone.
      const loss = seed ? tf.sum(tf.mul(y, seed)) : tf.mean(tf.square(tf.sub(y, tensorCopy(golden))));
      return { loss: loss as tf.Scalar, extra: {} };
    });
    return {
      latents: toNchw(latents), reconstruction: toNchw(reconstruction), mse, latents_bytes: toNchw(quantised),
      reconstruction_from_bytes: toNchw(decode(quantiseLatent(latents))),
      grad_image_of_mse: toNchw(gradImage as tf.Tensor), 'grad.input.image': toNchw(gradImage as tf.Tensor),
      ...Object.fromEntries(paramNames.map((name, i) => [`grad.param.${name}`, gradParams[i] as tf.Tensor])),
    };
  });
  try {
    const forward = toleranceOf(golden, 'forward', 5e-4);
    const gradient = toleranceOf(golden, 'gradient', 2e-3);
    const limitOf = (name: string): number => {
      if (name.startsWith('grad')) return gradient;
      // A code on a rounding tie may differ by one of 255, and what is decoded from it accordingly.
      if (name === 'latents_bytes') return 1 / 255;
      return name === 'reconstruction_from_bytes' ? 2e-2 : forward;
    };
    const wanted = Object.keys(io).filter((name) => name !== 'image' && name !== 'grad_seed');
    const comparisons: Comparison[] = [];
    for (const name of wanted) {
      const ours = results[name];
      comparisons.push(ours ? await compareTensor(golden, name, ours, limitOf(name)) : { name, error: Infinity, limit: forward, note: 'not computed' });
    }
    const psnr = golden.manifest['psnr_clamped'];
    if (typeof psnr === 'number') comparisons.push(await comparePsnr(golden, results['reconstruction'] as tf.Tensor, psnr));
    return comparisons;
  } finally {
    tf.dispose(results);
  }
};

const tensorCopy = (golden: Golden): Image => imageOf(golden, 'image');

/** Peak signal-to-noise ratio of the clamped reconstruction in dB, for images in [0, 1]. */
const comparePsnr = async (golden: Golden, reconstruction: tf.Tensor, expected: number): Promise<Comparison> => {
  const [ours, image] = [await reconstruction.data(), golden.io['image']?.data as Float32Array];
  const mse = image.reduce((sum, x, i) => sum + (Math.min(1, Math.max(0, ours[i] as number)) - x) ** 2, 0) / image.length;
  const psnr = -10 * Math.log10(mse);
  return { name: 'psnr_clamped', error: Math.abs(psnr - expected) / expected, limit: toleranceOf(golden, 'forward', 5e-4), note: `${psnr.toFixed(3)} dB` };
};

export const handlers: readonly Handler[] = [{ kind: 'taesd', matches: ({ manifest }) => manifest.source?.['repo'] === 'madebyollin/taesd', run }];
