/** Beginning from other weights than fresh draws: where they are read from, and what of them is taken over. */
import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { type MillraceError, WeightsError } from '../errors.ts';
import type { Net, StateDict } from '../models/net.ts';
import { type Network, type ParamSpec, type Shape, sizeOf } from '../models/network.ts';
import { fromLdm, isLdm } from '../models/weights/ldmNames.ts';
import { openStateDict } from '../models/weights/openWeights.ts';
import { readStateDict } from '../models/weights/safetensors.ts';
import type { Resource } from '../streams/scoped.ts';
import { follow } from './atomic.ts';
import { isNet } from './checkpointPlan.ts';
import { findCheckpoint, readWeights, runOf } from './restore.ts';
import { configFile, readJson } from './runFolder.ts';

type Dicts = Readonly<Record<string, StateDict>>;

const exists = (path: string): Promise<boolean> => stat(path).then(() => true, () => false);

/** Weights as they were found: by net name, or (a single file or model) of a net that is yet to be guessed. */
export type FoundWeights = Readonly<{ path: string; nets: Dicts } | {
  path: string;
  file: StateDict;
  /** Of a diffusers folder: its `config.json`. */
  model?: Readonly<Record<string, unknown>>;
}>;

/**
 * Reads weights to begin from: of a run (its newest checkpoint), of one checkpoint, of a model folder of diffusers, or a `.safetensors` file.
 * @param from `ema` prefers the averaged weights of a run
 */
export const findWeights = (path: string, from: 'ema' | 'weights' = 'ema'): TE.TaskEither<MillraceError, FoundWeights> => async () => {
  // A file that is no weights file may stand for a link, where the system has none.
  const there = path.endsWith('.safetensors') ? resolve(path) : await follow(path);
  const info = await stat(there).catch(() => undefined);
  if (info === undefined) return E.left(new WeightsError(path, `${path}: expected a run, a checkpoint, a model folder or a .safetensors file but found nothing`));
  if (info.isFile()) return TE.map((file: StateDict) => ({ path, file }))(readStateDict(there))();
  if (await exists(join(there, 'config.json')) && !await exists(join(there, configFile))) {
    const model = await readJson(join(there, 'config.json')) as Readonly<Record<string, unknown>>;
    return TE.map((file: StateDict) => ({ path, file, model }))(openStateDict(there))();
  }
  const opened = await runOf(there)();
  if (E.isLeft(opened)) return opened;
  const { run } = opened.right;
  const checkpoint = await findCheckpoint(run, run.path === there ? 'latest' : there)();
  if (E.isLeft(checkpoint)) return checkpoint;
  return TE.map((nets: Dicts) => ({ path: checkpoint.right.path, nets }))(readWeights(checkpoint.right.path, from))();
};

/** The values for a parameter of another shape where they can be had: input channels that are new start at zero. */
const widened = ({ shape, data }: Readonly<{ shape: Shape; data: Float32Array }>, wanted: Shape): Float32Array | undefined => {
  const same = shape.length === wanted.length && shape.every((size, i) => i === 1 || size === wanted[i]);
  const [from, to] = [shape[1], wanted[1]];
  if (!same || from === undefined || to === undefined || from >= to) return undefined;
  const inner = sizeOf(shape.slice(2));
  const out = new Float32Array(sizeOf(wanted));
  for (let i = 0; i < (shape[0] as number); i++) out.set(data.subarray(i * from * inner, (i + 1) * from * inner), i * to * inner);
  return out;
};

type Fit = Readonly<{ dict: StateDict; taken: number; wider: readonly string[]; fresh: readonly string[]; unused: readonly string[] }>;

const fit = (specs: ReadonlyMap<string, ParamSpec>, found: StateDict): Fit => {
  const dict: Record<string, StateDict[string]> = {};
  const [wider, fresh]: [string[], string[]] = [[], []];
  for (const [name, { shape }] of specs) {
    const there = found[name];
    if (there !== undefined && there.shape.length === shape.length && there.shape.every((size, i) => size === shape[i])) { dict[name] = there; continue; }
    const data = there && widened(there, shape);
    if (data === undefined) { fresh.push(name); continue; }
    dict[name] = { shape, data };
    wider.push(name);
  }
  return { dict, taken: Object.keys(dict).length, wider, fresh, unused: Object.keys(found).filter((name) => !specs.has(name)) };
};

const listed = (names: readonly string[]): string => `${names.slice(0, 3).join(', ')}${names.length > 3 ? ', ...' : ''}`;
const told = (net: string, { dict, taken, wider, fresh, unused }: Fit): string => [
  `  ${net}: ${taken} of ${Object.keys(dict).length + fresh.length} parameters taken over`,
  ...(wider.length > 0 ? [`${wider.length} with new input channels at zero (${listed(wider)})`] : []),
  ...(fresh.length > 0 ? [`${fresh.length} begin afresh (${listed(fresh)})`] : []),
  ...(unused.length > 0 ? [`${unused.length} in the file are not used (${listed(unused)})`] : []),
].join(', ');

/** A file's parameters under the names of a network; an autoencoder's may be those of the original latent-diffusion code. */
const ownNames = (network: Pick<Network<never, unknown>, 'specs'> & Readonly<{ autoencoder?: Network<never, unknown> }>, file: StateDict): StateDict =>
  (network.autoencoder && isLdm(file) ? fromLdm(network.autoencoder, file) : file);

/**
 * What of some weights fits the nets of a method: names and shapes that agree, and layers that only have more input channels now.
 * @param nets made from fresh draws; they are only looked at
 * @returns parameters by net, for `Method.nets`, and the report in lines; Left when nothing fits
 */
export const fitWeights = (nets: Readonly<Record<string, Resource>>, found: FoundWeights): E.Either<WeightsError, Readonly<{ given: Dicts; lines: readonly string[] }>> => {
  const live = Object.entries(nets).flatMap(([name, resource]) => (isNet(resource) && 'network' in resource ? [[name, (resource as unknown as Net).network] as const] : []));
  const fits = live.flatMap(([name, network]) => {
    const dict = 'nets' in found ? found.nets[name] : ownNames(network, found.file);
    return dict === undefined ? [] : [{ name, ...fit(network.specs, dict) }];
  }).filter(({ taken }) => taken > 0);
  // One file is one net's: that which finds most of its own in it.
  const chosen = 'nets' in found ? fits : fits.toSorted((a, b) => b.taken - a.taken).slice(0, 1);
  if (chosen.length === 0) {
    const names = 'nets' in found ? Object.keys(found.nets).join(', ') : listed(Object.keys(found.file));
    return E.left(new WeightsError(found.path, `${found.path}: expected weights of ${live.map(([name]) => name).join(', ')} but no name and shape agrees (it has ${names})`));
  }
  return E.right({
    given: Object.fromEntries(chosen.map(({ name, dict }) => [name, dict])),
    lines: [`weights from ${found.path}`, ...chosen.map((one) => told(one.name, one))],
  });
};
