/**
 * A folder of SD-Turbo (or another Stable Diffusion) as diffusers writes it: `unet/`, `vae/`, `scheduler/`, and for captions `tokenizer/` and `text_encoder/`. Weights may be
 * sharded, and in half precision.
 */
import { join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import type * as tf from '../../tf.ts';
import { ConfigError, type MillraceError } from '../../errors.ts';
import { scheduleFrom, schedulerConfig } from '../../schedules/diffusers/config.ts';
import { type ClipText, type ClipTextConfig, clipText } from '../clip.ts';
import { type Tokenizer, readTokenizer } from '../clipTokenizer.ts';
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

/** What makes tokens of captions: float32 [B, 77, width]. */
export type TurboText = Readonly<{ network: Network<[ids: tf.Tensor2D], ClipText>; tokenizer: Tokenizer }>;

/**
 * Reads what a folder says of its text transformer, and its tokenizer; small files, at once.
 * @param width of the tokens that the UNet attends to
 * @throws ConfigError
 */
export const readTurboText = (folder: string, width: unknown): TurboText => {
  const network = clipText(readJson(folder, 'text_encoder', 'config.json'));
  const { hidden_size: own } = network.config as ClipTextConfig;
  if (own !== width) throw new ConfigError(join(folder, 'text_encoder'), `${join(folder, 'text_encoder')}: expected tokens of width ${JSON.stringify(width)}, which the UNet attends to, but it makes them of ${own}`);
  return { network, tokenizer: readTokenizer(join(folder, 'tokenizer')) };
};

/** Weights of a folder by part; `text` for captions that differ, `caption` for one, embedded and named as `textFree` has it. */
export type TurboWeights = Readonly<{ unet: StateDict; vae: StateDict; text: StateDict; caption: StateDict }>;

/**
 * Opens a folder: checks that everything is there and fits. One caption is embedded here, where the engine has started, and the transformer freed.
 * @param options.text where what the UNet attends to comes from; with `learned`, neither tokenizer nor text transformer is asked for
 * @returns Left with what is missing, unexpected or of another shape, and where
 */
export const openTurbo = (folder: string, { text, caption }: Readonly<{ text: 'prompts' | 'caption' | 'learned'; caption: string }>): TE.TaskEither<MillraceError, TurboWeights> => async () => {
  const model = E.tryCatch(() => readTurboModel(folder), (cause) => cause as MillraceError);
  if (E.isLeft(model)) return model;
  const unet = await openPart(folder, 'unet')();
  if (E.isLeft(unet)) return unet;
  const vae = await openPart(folder, 'vae')();
  if (E.isLeft(vae)) return vae;
  const parts = { unet: unet.right, vae: vae.right, text: {}, caption: {} };
  if (text === 'learned') return E.right(parts);
  const read = E.tryCatch(() => readTurboText(folder, model.right.unet['cross_attention_dim']), (cause) => cause as MillraceError);
  if (E.isLeft(read)) return read;
  const { network, tokenizer } = read.right;
  const state = await openFitted(network, join(folder, 'text_encoder'))();
  if (E.isLeft(state)) return state;
  if (text === 'prompts') return E.right({ ...parts, text: state.right });
  const entry = await encodeOnce(network as unknown as Network<never, unknown>, state.right, tokenizer.encode(caption), (params, ids) => network.apply(params, ids).hidden);
  return E.right({ ...parts, caption: { 'conditioning.encoder_hidden_states': entry } });
};
