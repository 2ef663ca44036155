/** Model folders as diffusers writes them: `config.json` beside weights, and whole pipelines of such folders under `model_index.json`. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { ConfigError, WeightsError } from '../../errors.ts';
import type { StateDict } from '../net.ts';
import type { Network } from '../network.ts';
import { builderOf, modelClasses } from '../registry.ts';
import { fromLdm, isLdm } from './ldmNames.ts';
import { modernNames } from './oldNames.ts';
import { openStateDict } from './openWeights.ts';
import { fitted, nearestName } from './report.ts';
import { type SaveOptions, saveSharded, writeAtomically } from './saveSafetensors.ts';

type Json = Readonly<Record<string, unknown>>;
export type ModelError = WeightsError | ConfigError;

/** A network and weights that fit it; the weights are read from disk when they are asked for. */
export type LoadedModel = Readonly<{ className: string; network: Network<never, unknown>; state: StateDict }>;

const readJson = (path: string): TE.TaskEither<ConfigError, Json> => async () => {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    if (value === null || typeof value !== 'object' || Array.isArray(value)) return E.left(new ConfigError(path, `${path}: expected a JSON record`));
    return E.right(value as Json);
  } catch (cause) {
    return E.left(new ConfigError(path, `${path}: cannot be read: ${(cause as Error).message}`, cause));
  }
};

/** The parts of a pipeline: class by folder name. Parts that are switched off are left out. */
export const readPipeline = (folder: string): TE.TaskEither<ConfigError, Readonly<Record<string, string>>> =>
  TE.map((index: Json) => Object.fromEntries(Object.entries(index).flatMap(([name, value]) => (Array.isArray(value) && typeof value[1] === 'string' ? [[name, value[1]]] : []))))(
    readJson(join(folder, 'model_index.json')));

/**
 * Loads a model: builds the network its configuration describes and opens its weights, which must fit exactly.
 * @param folder holds `config.json` and weights; of a pipeline, name the part, or give its folder
 * @param options.part folder of a pipeline, such as `unet` or `vae`
 * @param options.variant which weights, such as `fp16`
 * @param options.weights file of weights elsewhere, for a configuration without its own; it may have the original latent-diffusion code's names
 * @returns a report of everything that is missing, unexpected or misshapen where they do not fit
 */
export const loadModel = (folder: string, { part, variant, weights }: { part?: string; variant?: string; weights?: string } = {}): TE.TaskEither<ModelError, LoadedModel> => async () => {
  const place = part === undefined ? folder : join(folder, part);
  const config = await readJson(join(place, 'config.json'))();
  if (E.isLeft(config)) return part === undefined ? explained(folder, config.left) : config;
  const { _class_name: className } = config.right;
  if (typeof className !== 'string') {
    return E.left(new ConfigError(join(place, 'config.json'), `${place}/config.json: expected _class_name to name a model class but received ${JSON.stringify(className)}`));
  }
  const network = await buildModel(className, config.right);
  if (E.isLeft(network)) return network;
  const state = await openStateDict(weights ?? place, variant === undefined ? {} : { variant })();
  if (E.isLeft(state)) return state;
  const named = isLdm(state.right) ? fromLdm(network.right, state.right) : modernNames(state.right);
  return E.map((fits: StateDict) => ({ className, network: network.right, state: fits }))(fitted(network.right, named, weights ?? place));
};

/** A pipeline's folder in place of a part of it: say which parts there are. */
const explained = async (folder: string, fault: ConfigError): Promise<E.Either<ConfigError, never>> => {
  const parts = await readPipeline(folder)();
  if (E.isLeft(parts)) return E.left(fault);
  const known = Object.entries(parts.right).filter(([, name]) => modelClasses.includes(name)).map(([name, className]) => `${name} (${className})`);
  return E.left(new ConfigError(folder, `${folder} is a whole pipeline: name the part to load, ${known.join(', ') || 'of which none is known here'}`, fault));
};

/** Builds a network by class name. */
export const buildModel = async (className: string, config: Json): Promise<E.Either<ConfigError, Network<never, unknown>>> => {
  const builder = await builderOf(className);
  if (!builder) {
    const nearest = nearestName(className, modelClasses);
    return E.left(new ConfigError('_class_name', `${className} is no model class that is known${nearest === undefined ? '' : ` (is ${nearest} meant?)`}; known are ${modelClasses.join(', ')}`));
  }
  try {
    return E.right(builder(config));
  } catch (cause) {
    return E.left(cause instanceof ConfigError ? cause : new ConfigError(className, `${className}: ${(cause as Error).message}`, cause));
  }
};

/** Name and version that the reference expects to find in a configuration. */
const origin = { _diffusers_version: '0.35.2' };

/**
 * Saves a model as diffusers loads it: `config.json` and `diffusion_pytorch_model.safetensors`, sharded where it is large.
 * @param state by the network's names; must fit it exactly
 */
export const saveModel = (folder: string, { network, state }: Readonly<{ network: Network<never, unknown>; state: StateDict }>, options: SaveOptions & { maxBytes?: number } = {}): TE.TaskEither<WeightsError, string[]> => async () => {
  const fits = fitted(network, state, folder);
  if (E.isLeft(fits)) return fits;
  const saved = await saveSharded(folder, 'diffusion_pytorch_model', state, options)();
  if (E.isLeft(saved)) return saved;
  const path = join(folder, 'config.json');
  try {
    await writeAtomically(path, [Buffer.from(`${JSON.stringify({ _class_name: network.name, ...origin, ...(network.config as Json) }, undefined, 2)}\n`)]);
  } catch (cause) {
    return E.left(new WeightsError(path, `${path}: cannot be written: ${(cause as Error).message}`, cause));
  }
  return E.right([...saved.right, path]);
};
