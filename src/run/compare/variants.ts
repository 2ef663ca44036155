/** What is compared: methods under one command line, and variants of a method that differ in one value. */
import * as E from 'fp-ts/lib/Either.js';
import { ConfigError } from '../../errors.ts';
import { parseConfig } from '../config.ts';
import type { BaseConfig } from '../method.ts';
import { nearest } from '../nearest.ts';
import type { AnyMethod } from '../pipelineFiles.ts';
import { type Leaf, leavesOf } from '../schemaTree.ts';

export type Variant = Readonly<{
  /** What reports call it: the method, and the swapped value where there is one. */
  label: string;
  method: AnyMethod;
  config: BaseConfig;
  /** The configuration with other values; keys that the method does not have are left out. */
  configure: (settings: Readonly<Record<string, string | number>>) => BaseConfig;
  /** Settings of the command line that the method has no key for, as they were written. */
  ignored: readonly string[];
}>;

/** One setting of a command line: the key it names, and the words it is made of. */
type Setting = Readonly<{ key: string; words: readonly string[] }>;

/** Groups the words of a command line by setting: `--size 32`, `--optim.lr=1e-4`, `--set network.base=8`. */
export const settingsOf = (words: readonly string[]): E.Either<ConfigError, readonly Setting[]> => {
  const settings: Setting[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i] as string;
    const [, name, , inline] = /^--([^=]+)(=(.*))?$/s.exec(word) ?? [];
    if (name === undefined) return E.left(new ConfigError(word, `${word}: expected an option such as --steps (--help lists all)`));
    const next = words[i + 1];
    const takesNext = inline === undefined && next !== undefined && !next.startsWith('--');
    const value = inline ?? (takesNext ? next : '');
    settings.push({ key: name === 'set' ? value.split('=')[0]?.trim() ?? '' : name, words: takesNext ? [word, next] : [word] });
    if (takesNext) i++;
  }
  return E.right(settings);
};

/** Whether a schema has a key, by path, by short flag, negated, or below a leaf that is a record. */
const has = (leaves: readonly Leaf[], key: string): boolean => leaves.some(({ path, flag }) => {
  const names = [path, ...(flag === undefined ? [] : [flag])];
  return names.includes(key) || names.some((name) => key === `no-${name}`) || key.startsWith(`${path}.`);
});

/** A swap as it was asked for: `schedule=cosine,[1,2]` is the key `schedule` with two values. */
export const parseSwap = (text: string): E.Either<ConfigError, Readonly<{ key: string; values: readonly string[] }>> => {
  const equals = text.indexOf('=');
  // Commas inside brackets belong to a list.
  const values = equals < 1 ? [] : [...text.slice(equals + 1).matchAll(/(?:\[[^\]]*\]|[^,[])+/g)].map(([value]) => value.trim());
  return values.length < 2 ? E.left(new ConfigError('swap', `--swap ${text}: expected a key and at least two values, such as weighting=none,minSnr`))
    : E.right({ key: text.slice(0, equals).trim(), values });
};

/** The full path of a swapped key: itself, or the only leaf of which it is the end. */
const pathOf = (leaves: readonly Leaf[], key: string): string | undefined => {
  const exact = leaves.find(({ path, flag }) => path === key || flag === key);
  const ends = leaves.filter(({ path }) => path.endsWith(`.${key}`));
  return exact?.path ?? (ends.length === 1 ? ends[0]?.path : undefined);
};

const resolve = (method: AnyMethod, label: string, settings: readonly Setting[], swapped: readonly string[]): E.Either<ConfigError, Variant> => {
  const leaves = leavesOf(method.schema);
  const words = [...settings.filter(({ key }) => has(leaves, key)).flatMap((setting) => setting.words), ...swapped];
  const parse = (more: readonly string[]): E.Either<ConfigError, BaseConfig> => parseConfig(method.schema, [...words, ...more]);
  return E.bimap((error: ConfigError) => new ConfigError(error.subject, `${label}: ${error.message}`, error), (config: BaseConfig): Variant => ({
    label, method, config,
    configure: (values) => {
      const configured = parse(Object.entries(values).filter(([key]) => has(leaves, key)).flatMap(([key, value]) => ['--set', `${key}=${value}`]));
      if (E.isLeft(configured)) throw configured.left;
      return configured.right;
    },
    ignored: settings.filter(({ key }) => !has(leaves, key)).map((setting) => setting.words.join(' ')),
  }))(parse([]));
};

/**
 * What a command line compares: each method once, or, with a swap, once per value where it has the key.
 * @param words settings for all; a method without a setting's key goes without it
 * @param swap `key=value,value`; the key may leave out its group where that is plain
 * @returns Left for a key that no method has, a value of the wrong type, or fewer than two variants
 */
export const variantsOf = (methods: readonly AnyMethod[], words: readonly string[], swap?: string): E.Either<ConfigError, readonly Variant[]> => {
  const settings = settingsOf(words);
  if (E.isLeft(settings)) return settings;
  const all = methods.map(({ schema }) => leavesOf(schema));
  const unknown = settings.right.find(({ key }) => !all.some((leaves) => has(leaves, key)));
  if (unknown) {
    const guess = nearest(unknown.key, all.flatMap((leaves) => leaves.flatMap(({ path, flag }) => (flag === undefined ? [path] : [path, flag]))));
    return E.left(new ConfigError(unknown.key, `${unknown.words.join(' ')}: none of ${methods.map(({ name }) => name).join(', ')} has the key ${unknown.key}${guess === undefined ? '' : `; did you mean ${guess}?`}`));
  }
  const swapped = swap === undefined ? undefined : parseSwap(swap);
  if (swapped && E.isLeft(swapped)) return swapped;
  const variants: Variant[] = [];
  let swaps = 0;
  for (const [i, method] of methods.entries()) {
    const path = swapped && pathOf(all[i] as readonly Leaf[], swapped.right.key);
    if (path !== undefined) swaps++;
    const made = path === undefined || !swapped ? [resolve(method, method.name, settings.right, [])]
      : swapped.right.values.map((value) => resolve(method, `${method.name} ${value}`, settings.right, ['--set', `${path}=${value}`]));
    for (const variant of made) {
      if (E.isLeft(variant)) return variant;
      variants.push(variant.right);
    }
  }
  if (swapped && swaps === 0) return E.left(new ConfigError('swap', `--swap ${swap}: expected a key of ${methods.map(({ name }) => name).join(' or ')} but received ${swapped.right.key}`));
  return variants.length > 1 ? E.right(variants) : E.left(new ConfigError('methods', `--methods ${methods.map(({ name }) => name).join(',')}: expected at least two methods, or --swap with one`));
};
