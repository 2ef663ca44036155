/**
 * A folder of SD-Turbo (or another Stable Diffusion) as diffusers writes it: `unet/`, `vae/`, `scheduler/`, and for captions `tokenizer/` and `text_encoder/`. Weights may be
 * sharded, and in half precision.
 */
import { join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { ConfigError, type MillraceError, WeightsError } from '../../errors.ts';
import { scheduleFrom, schedulerConfig } from '../../schedules/diffusers/config.ts';
import { clipText } from '../clip.ts';
import { openTokenizer } from '../clipTokenizer.ts';
import type { StateDict } from '../net.ts';
import type { Network } from '../network.ts';
import { encodeOnce, openFitted, readModelJson } from './clipFolder.ts';
import { loadModel } from './modelFolder.ts';

type Json = Readonly<Record<string, unknown>>;

/** What the folder says of its networks: their `config.json`, and `scheduler_config.json`. */
export type TurboModel = Readonly<{ unet: Json; vae: Json; scheduler: Json }>;

const layout = 'a folder of SD-Turbo as diffusers writes it (unet, vae, scheduler, tokenizer, text_encoder)';

const readJson = (folder: string, ...path: readonly string[]): Json => readModelJson(folder, path.join('/'), layout);

/**
 * Reads what a folder says; small files, at once.
 * @throws ConfigError that names the folder, what was expected, and what is missing or strange
 */
export const readTurboModel = (folder: string): TurboModel => {
  if (folder === '') throw new ConfigError('init', `--init: expected ${layout} but received nothing`);
  const [unet, vae] = [readJson(folder, 'unet', 'config.json'), readJson(folder, 'vae', 'config.json')];
  for (const [part, config, name] of [['unet', unet, 'UNet2DConditionModel'], ['vae', vae, 'AutoencoderKL']] as const) {
    if (config['_class_name'] !== name) throw new ConfigError(join(folder, part, 'config.json'), `${folder}/${part}: expected ${name} but its config.json says ${JSON.stringify(config['_class_name'])}`);
  }
  return { unet, vae, scheduler: readJson(folder, 'scheduler', 'scheduler_config.json') };
};

/** The noise a UNet was trained with, and what it was trained to answer. @throws ConfigError */
export const turboNoise = ({ scheduler }: Pick<TurboModel, 'scheduler'>): Readonly<{ alphasCumprod: Float32Array; prediction: 'epsilon' | 'v_prediction' }> => {
  const config = schedulerConfig('DDPMScheduler', scheduler, { fromFile: true });
  const { prediction_type: prediction } = config;
  if (prediction === 'sample') throw new ConfigError('prediction_type', 'scheduler: expected prediction_type epsilon or v_prediction but received sample');
  return { alphasCumprod: scheduleFrom('DDPMScheduler', config).alphasCumprod, prediction };
};

/** The weights of a part, checked against the network that its configuration describes; values are read when they are asked for. */
const openPart = (folder: string, part: string): TE.TaskEither<MillraceError, StateDict> => TE.map(({ state }: { state: StateDict }) => state)(loadModel(folder, { part }));

/**
 * What the UNet is told of a caption: the text transformer's tokens, float32 [1, 77, width]. The engine has started; the transformer is freed before this ends.
 * @param width of the tokens that the UNet attends to
 */
const embedCaption = (folder: string, caption: string, width: unknown): TE.TaskEither<MillraceError, StateDict[string]> => async () => {
  const place = join(folder, 'text_encoder');
  const network = E.tryCatch(() => clipText(readJson(folder, 'text_encoder', 'config.json')), (cause) => cause as ConfigError);
  if (E.isLeft(network)) return network;
  const tokenizer = await openTokenizer(join(folder, 'tokenizer'))();
  if (E.isLeft(tokenizer)) return tokenizer;
  const state = await openFitted(network.right, place)();
  if (E.isLeft(state)) return state;
  const tokens = await encodeOnce(network.right as unknown as Network<never, unknown>, state.right, tokenizer.right, caption, (params, ids) => network.right.apply(params, ids).hidden);
  return tokens.shape[2] === width ? E.right(tokens)
    : E.left(new WeightsError(place, `${place}: expected tokens of width ${JSON.stringify(width)}, which the UNet attends to, but it makes them of ${tokens.shape[2]}`));
};

/** Weights of a folder by part: of the UNet, of the autoencoder, and the embedded caption as `textFree` names it, without a caption none. */
export type TurboWeights = Readonly<{ unet: StateDict; vae: StateDict; caption: StateDict }>;

/**
 * Opens a folder: checks that everything is there and fits, and embeds the caption.
 * @param caption undefined leaves the text out
 * @returns Left with what is missing, unexpected or of another shape, and where
 */
export const openTurbo = (folder: string, caption: string | undefined): TE.TaskEither<MillraceError, TurboWeights> => async () => {
  const model = E.tryCatch(() => readTurboModel(folder), (cause) => cause as MillraceError);
  if (E.isLeft(model)) return model;
  const unet = await openPart(folder, 'unet')();
  if (E.isLeft(unet)) return unet;
  const vae = await openPart(folder, 'vae')();
  if (E.isLeft(vae)) return vae;
  if (caption === undefined) return E.right({ unet: unet.right, vae: vae.right, caption: {} });
  const tokens = await embedCaption(folder, caption, model.right.unet['cross_attention_dim'])();
  return E.map((entry: StateDict[string]) => ({ unet: unet.right, vae: vae.right, caption: { 'conditioning.encoder_hidden_states': entry } }))(tokens);
};
