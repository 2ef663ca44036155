/** CLIP as transformers writes it: model and tokenizer in one folder. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import * as tf from '../../tf.ts';
import { ConfigError, type MillraceError } from '../../errors.ts';
import { type Clip, clip } from '../clip.ts';
import { readTokenizer } from '../clipTokenizer.ts';
import { type StateDict, makeNet, paramsOf } from '../net.ts';
import type { Network } from '../network.ts';
import { openStateDict } from './openWeights.ts';
import { fitted } from './report.ts';

type Json = Readonly<Record<string, unknown>>;

/** @throws ConfigError naming the file, when it is missing or no JSON record */
export const readModelJson = (folder: string, path: string, expected: string): Json => {
  const file = join(folder, path);
  try {
    const value: unknown = JSON.parse(readFileSync(file, 'utf8'));
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) return value as Json;
    throw new SyntaxError(`it holds ${JSON.stringify(value)}`);
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code === 'ENOENT' ? `there is no ${path} in it` : `${path} is no JSON record: ${(cause as Error).message}`;
    throw new ConfigError(file, `${folder}: expected ${expected} but ${why}`, cause);
  }
};

/** The network a folder describes. @throws ConfigError */
export const readClip = (folder: string): Clip => clip(readModelJson(folder, 'config.json', 'a folder of CLIP as transformers writes it'));

/** Tables of positions 0, 1, 2, ... that old files hold. */
export const withoutPositions = (state: StateDict): StateDict => Object.fromEntries(Object.entries(state).filter(([name]) => !name.endsWith('.position_ids')));

/** Weights of a folder, checked against a network; values are read when they are asked for. */
export const openFitted = <I extends readonly unknown[], O>(network: Network<I, O>, folder: string): TE.TaskEither<MillraceError, StateDict> =>
  TE.chain((state: StateDict) => TE.fromEither(fitted(network as unknown as Network<never, unknown>, withoutPositions(state), folder)))(openStateDict(folder));

/** Runs a text network once on the ids of one caption and frees it: values and shape of what it says. The engine has started. */
export const encodeOnce = async (network: Network<never, unknown>, state: StateDict, ids: Int32Array, run: (params: ReturnType<typeof paramsOf>, ids: tf.Tensor2D) => tf.Tensor): Promise<StateDict[string]> => {
  const net = makeNet(network, { key: [0, 0], given: state });
  try {
    const out = tf.tidy(() => run(paramsOf(net), tf.tensor2d(ids, [1, ids.length], 'int32')));
    const [{ shape }, data] = [out, Float32Array.from(await out.data())];
    out.dispose();
    return { shape, data };
  } finally {
    tf.dispose(Object.values(net.variables));
  }
};

/**
 * Opens a folder of CLIP.
 * @param caption where there is one for all, its embedding is worked out here, where the engine has started
 * @returns all weights by name, and for the caption `caption`, float32 [1, projection]
 */
export const openClip = (folder: string, caption?: string): TE.TaskEither<MillraceError, StateDict> => async () => {
  const read = E.tryCatch(() => ({ network: readClip(folder), tokenizer: readTokenizer(folder) }), (cause) => cause as MillraceError);
  if (E.isLeft(read)) return read;
  const { network, tokenizer } = read.right;
  const state = await openFitted(network, folder)();
  if (E.isLeft(state) || caption === undefined) return state;
  const { specs, text } = network;
  const texts = { name: 'clip text', config: {}, specs: new Map([...specs].filter(([name]) => name.startsWith('text_'))), apply: text } as unknown as Network<never, unknown>;
  return E.right({ ...state.right, caption: await encodeOnce(texts, state.right, tokenizer.encode(caption), text) });
};
