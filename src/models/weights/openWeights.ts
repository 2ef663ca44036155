/** Weights wherever they lie: one file, shards with an index, or a folder that holds either. */
import { readFile, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { WeightsError } from '../../errors.ts';
import type { StateDict } from '../net.ts';
import { type Safetensors, lazyStateDict, openSafetensors } from './safetensors.ts';

const refuse = (path: string, message: string, cause?: unknown): E.Either<WeightsError, never> => E.left(new WeightsError(path, `${path}: ${message}`, cause));

const isPickle = (name: string): boolean => /\.(bin|pth|pt|ckpt)$/.test(name);

/** Stems that diffusers and transformers give weights, in order of preference. */
const stems = ['diffusion_pytorch_model', 'model', 'pytorch_model', 'pytorch_lora_weights', 'adapter_model'];

type Chosen = Readonly<{ file: string; fault?: undefined }> | Readonly<{ file?: undefined; fault: string }>;

/**
 * The file of a folder that holds its weights.
 * @param names files of the folder
 * @param variant such as `fp16`; the plain file is preferred by default, but a single variant is taken where it is all there is
 */
export const chooseWeights = (names: readonly string[], variant?: string): Chosen => {
  const endings = variant === undefined ? [''] : [`.${variant}`];
  for (const stem of stems) {
    for (const ending of endings) {
      const found = [`${stem}.safetensors.index${ending}.json`, `${stem}${ending}.safetensors.index.json`, `${stem}${ending}.safetensors`].find((name) => names.includes(name));
      if (found !== undefined) return { file: found };
    }
  }
  const any = names.filter((name) => name.endsWith('.safetensors') && !/-\d{5}-of-\d{5}/.test(name));
  if (variant !== undefined) return { fault: `there are no weights of variant ${variant}; there are ${names.filter((name) => /safetensors/.test(name)).join(', ') || 'none'}` };
  const [only] = any;
  if (any.length === 1 && only !== undefined) return { file: only };
  if (any.length > 1) return { fault: `there are several weight files, ${any.join(', ')}: name one, or a variant` };
  const pickle = names.find(isPickle);
  if (pickle !== undefined) {
    const convert = `safetensors.torch.save_file(torch.load("${pickle}", map_location="cpu", weights_only=True), "${pickle.replace(/\.[^.]+$/, '.safetensors')}")`;
    return { fault: `the weights are a Python pickle, ${pickle}, which can run code when read: convert it once in Python: ${convert}` };
  }
  return { fault: `there are no weights in it; expected one of ${stems.slice(0, 2).map((stem) => `${stem}.safetensors`).join(', ')} or an index of shards` };
};

const openIndex = (path: string): TE.TaskEither<WeightsError, readonly Safetensors[]> => async () => {
  let index: { weight_map?: unknown };
  try {
    index = JSON.parse(await readFile(path, 'utf8')) as { weight_map?: unknown };
  } catch (cause) {
    return refuse(path, `is no index of shards: ${(cause as Error).message}`, cause);
  }
  const map = index?.weight_map;
  if (map === null || typeof map !== 'object' || !Object.values(map).every((file) => typeof file === 'string' && file === basename(file))) {
    return refuse(path, 'expected weight_map to map names of tensors to names of files beside it');
  }
  const places = Object.entries(map as Record<string, string>);
  const shards: Safetensors[] = [];
  for (const file of new Set(places.map(([, name]) => name))) {
    const shard = await openSafetensors(join(dirname(path), file))();
    if (E.isLeft(shard)) return shard;
    const listed = new Set(places.filter(([, name]) => name === file).map(([tensor]) => tensor));
    const lost = [...listed].find((tensor) => !shard.right.entries.has(tensor));
    if (lost !== undefined) return refuse(path, `the index says that ${file} holds ${lost}, but it does not`);
    const unlisted = [...shard.right.entries.keys()].find((tensor) => !listed.has(tensor));
    if (unlisted !== undefined) return refuse(path, `${file} holds ${unlisted}, which the index does not place there`);
    shards.push(shard.right);
  }
  return E.right(shards);
};

/**
 * Opens weights: headers only, so it costs nothing to find out that they do not fit.
 * @param path a `.safetensors` file, an index of shards, or a folder
 * @param options.variant which file of a folder, such as `fp16`
 */
export const openWeights = (path: string, { variant }: { variant?: string } = {}): TE.TaskEither<WeightsError, readonly Safetensors[]> => async () => {
  try {
    if ((await stat(path)).isDirectory()) {
      const chosen = chooseWeights(await readdir(path), variant);
      return chosen.file === undefined ? refuse(path, chosen.fault) : openWeights(join(path, chosen.file))();
    }
  } catch (cause) {
    return refuse(path, `cannot be read: ${(cause as Error).message}`, cause);
  }
  if (path.endsWith('.json')) return openIndex(path)();
  return TE.map((file: Safetensors) => [file])(openSafetensors(path))();
};

/** Opened weights as a state dict that reads each tensor when it is asked for. */
export const openStateDict = (path: string, options: { variant?: string } = {}): TE.TaskEither<WeightsError, StateDict> =>
  TE.map((files: readonly Safetensors[]) => lazyStateDict(...files))(openWeights(path, options));
