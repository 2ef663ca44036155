/** Where an autoencoder that others work in lies, and whether it is still the same. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ConfigError } from '../errors.ts';
import { chooseWeights } from '../models/weights/openWeights.ts';
import { follow } from './atomic.ts';
import { configFile, readJson } from './runFolder.ts';

/** Folder of a run in which it leaves the autoencoder it has trained, as diffusers has it. */
export const autoencoderFolder = 'autoencoder';

/** An autoencoder on the disk: its `config.json` and the files of its weights. */
export type AutoencoderFiles = Readonly<{ path: string; model: Readonly<Record<string, unknown>>; weights: readonly string[] }>;

const exists = (path: string): Promise<boolean> => stat(path).then(() => true, () => false);

/** The files that hold a folder's weights, an index of shards among them. @throws ConfigError */
export const weightsIn = async (folder: string): Promise<readonly string[]> => {
  const { file, fault } = chooseWeights(await readdir(folder));
  if (file === undefined) throw new ConfigError(folder, `${folder}: ${fault}`);
  if (!file.endsWith('.json')) return [join(folder, file)];
  const { weight_map: places = {} } = await readJson(join(folder, file)) as { weight_map?: Record<string, string> };
  return [file, ...new Set(Object.values(places))].map((name) => join(folder, name));
};

/**
 * Finds an autoencoder.
 * @param path a run that trained one (or a link to it, which is followed), a folder with `config.json` and weights, or a weights file beside its `config.json`
 * @throws ConfigError that says what is missing
 */
export const findAutoencoder = async (path: string): Promise<AutoencoderFiles> => {
  const there = await follow(path);
  const info = await stat(there).catch(() => undefined);
  if (!info) throw new ConfigError(path, `${path}: expected an autoencoder (a run that trained one, or a folder with config.json and weights) but found nothing`);
  const isRun = info.isDirectory() && await exists(join(there, configFile));
  const folder = isRun ? join(there, autoencoderFolder) : info.isFile() ? dirname(there) : there;
  if (!await exists(join(folder, 'config.json'))) {
    throw new ConfigError(path, isRun ? `${path}: expected a run that left an autoencoder but it has none: it trains something else, or was broken off before its end`
      : `${path}: expected the config.json of an autoencoder ${info.isFile() ? 'beside the file' : 'in the folder'} but found none`);
  }
  const model = await readJson(join(folder, 'config.json')) as Readonly<Record<string, unknown>>;
  // Written as somebody here would write it, so that a run and its autoencoder can be moved together.
  const near = relative(process.cwd(), info.isFile() ? there : folder);
  return { path: near.startsWith('..') ? (info.isFile() ? there : folder) : near, model, weights: info.isFile() ? [there] : await weightsIn(folder) };
};

/** SHA-256 over files, in order, with their names: in hex. */
export const checksumOf = async (files: readonly string[]): Promise<string> => {
  const hash = createHash('sha256');
  for (const file of files) {
    hash.update(`${basename(file)}\n`);
    await pipeline(createReadStream(file), async (chunks) => { for await (const chunk of chunks) hash.update(chunk as Buffer); });
  }
  return hash.digest('hex');
};
