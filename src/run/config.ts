/** Configuration is data: a schema's defaults, overlaid by a file, overlaid by flags, parsed into an Either. */
import { readFileSync } from 'node:fs';
import * as E from 'fp-ts/lib/Either.js';
import { z } from 'zod';
import { ConfigError } from '../errors.ts';
import { nearest } from './nearest.ts';
import { type Leaf, coerce, fieldsOf, leavesOf } from './schemaTree.ts';

/** A plain object to lay over the defaults, and what to call it in messages. */
export type Layer = Readonly<{ name: string; values: unknown }>;

/** One `path = text` of a command line, and how it was written there. */
type Setting = Readonly<{ path: string; text: string; written: string }>;

type Tree = Record<string, unknown>;
const isTree = (value: unknown): value is Tree => value !== null && typeof value === 'object' && !Array.isArray(value);

/** @param written how the key stood there: `--sizee`, `--set optim.rate=1`, or a file's name */
const unknownKey = (key: string, written: string, leaves: readonly Leaf[], others: readonly string[] = []): ConfigError => {
  const isFlag = written === `--${key}`;
  const flags = isFlag && !key.includes('.') ? [...leaves.flatMap(({ flag }) => flag ?? []), ...others] : [];
  // `learningRate` means the leaf that says it is the learning rate, whatever its name.
  const spoken = key.slice(key.lastIndexOf('.') + 1).replace(/[A-Z_-]/g, (letter) => ` ${letter.toLowerCase()}`).replace(/[_-]/g, '');
  const described = spoken.length > 3 ? leaves.find(({ description }) => description?.toLowerCase().startsWith(spoken))?.path : undefined;
  const within = leaves.find(({ path }) => path.startsWith(`${key}.`))?.path;
  const guess = within ?? described ?? nearest(key, [...flags, ...leaves.map(({ path }) => path)]);
  const meant = guess === undefined ? '' : `; did you mean ${flags.includes(guess) ? `--${guess}` : guess}?`;
  return new ConfigError(key, `${written}: unknown ${isFlag ? 'option' : `key ${key}`}${meant} (--help lists all)`);
};

const isValue = (word: string | undefined): word is string => word !== undefined && (!word.startsWith('-') || /^-[\d.]/.test(word));

/** The leaf a flag means, by short flag or path; `--no-x` means x, and says false. */
const leafOf = (leaves: readonly Leaf[], name: string): Readonly<{ leaf: Leaf | undefined; isNegated: boolean }> => {
  const called = (wanted: string): Leaf | undefined => leaves.find(({ flag, path }) => wanted === flag || wanted === path);
  const leaf = called(name);
  if (leaf !== undefined || !name.startsWith('no-')) return { leaf, isNegated: false };
  return { leaf: called(name.slice('no-'.length)), isNegated: true };
};

/** What a flag means when it stands alone; undefined when it cannot. */
const bareOf = ({ bare, schema }: Leaf): string | undefined => bare ?? (typeof coerce(schema, 'true') === 'boolean' ? 'true' : undefined);

const readSet = (text: string, leaves: readonly Leaf[]): Setting => {
  const equals = text.indexOf('=');
  const [example] = leaves;
  if (equals < 1) throw new ConfigError(text, `--set ${text}: expected path=value, such as ${example?.path ?? 'seed'}=${JSON.stringify(example?.initial) ?? 1}`);
  const path = text.slice(0, equals).trim();
  return { path: leaves.find(({ flag }) => flag === path)?.path ?? path, text: text.slice(equals + 1), written: '--set' };
};

/**
 * Reads flags into settings.
 * @param partial leaves flags that no leaf has in `rest`, and `--set` too
 */
const readFlags = (leaves: readonly Leaf[], argv: readonly string[], partial: boolean, others: readonly string[]): Readonly<{ settings: Setting[]; rest: string[] }> => {
  const settings: Setting[] = [];
  const rest: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] as string;
    const [, name, , inline] = /^--([^=]+)(=(.*))?$/s.exec(word) ?? [];
    const { leaf, isNegated } = name === undefined ? { leaf: undefined, isNegated: false } : leafOf(leaves, name);
    if (partial && leaf === undefined) { rest.push(word); continue; }
    if (name === undefined) throw new ConfigError(word, `${word}: expected an option such as --${leaves.find(({ flag }) => flag)?.flag ?? 'help'} (--help lists all)`);
    const next = argv[i + 1];
    if (leaf === undefined && name === 'set') {
      if (inline === undefined && !isValue(next)) throw new ConfigError(name, '--set: expected path=value but received nothing');
      settings.push(readSet(inline ?? next as string, leaves));
      if (inline === undefined) i++;
      continue;
    }
    if (leaf === undefined) {
      // A dotted name may be a key below a leaf that is a record; `apply` knows.
      if (inline === undefined || !name.includes('.')) throw unknownKey(name, `--${name}`, leaves, others);
      settings.push({ path: name, text: inline, written: `--${name}` });
      continue;
    }
    if (isNegated) { settings.push({ path: leaf.path, text: 'false', written: word }); continue; }
    const bare = bareOf(leaf);
    // A flag that can stand alone takes the next word only where that is a value of it.
    const takesNext = inline === undefined && isValue(next) && (bare === undefined || z.safeParse(leaf.schema, coerce(leaf.schema, next)).success);
    const text = inline ?? (takesNext ? next : bare);
    if (text === undefined) throw new ConfigError(name, `--${name}: expected ${leaf.expected} but received nothing`);
    if (takesNext) i++;
    settings.push({ path: leaf.path, text, written: `--${name}` });
  }
  return { settings, rest };
};

/** A fresh tree of empty groups, so that the defaults of leaves apply. */
const emptyTree = (schema: z.core.$ZodType): Tree => Object.fromEntries(Object.entries(fieldsOf(schema) ?? {})
  .filter(([, field]) => fieldsOf(field) !== undefined).map(([name, field]) => [name, emptyTree(field)]));

const overlay = (tree: Tree, schema: z.core.$ZodType, { name, values }: Layer, leaves: readonly Leaf[], path = ''): void => {
  if (!isTree(values)) throw new ConfigError(path, `${name}: expected ${path === '' ? 'an object' : `an object at ${path}`} but received ${JSON.stringify(values)}`);
  const fields = fieldsOf(schema) ?? {};
  for (const [key, value] of Object.entries(values)) {
    const at = path === '' ? key : `${path}.${key}`;
    if (!Object.hasOwn(fields, key)) throw unknownKey(at, name, leaves);
    if (fieldsOf(fields[key] as z.core.$ZodType) === undefined) tree[key] = value;
    else overlay(tree[key] as Tree, fields[key] as z.core.$ZodType, { name, values: value }, leaves, at);
  }
};

const apply = (tree: Tree, { path, text, written }: Setting, leaves: readonly Leaf[]): void => {
  // A leaf may be a record or an object of its own, with keys below it.
  const leaf = leaves.find((candidate) => candidate.path === path) ?? leaves.find((candidate) => path.startsWith(`${candidate.path}.`) && isTree(candidate.initial));
  if (leaf === undefined) throw unknownKey(path, written === '--set' ? `--set ${path}=${text}` : written, leaves);
  const names = path.split('.');
  const depth = leaf.path.split('.').length;
  let place = tree;
  for (const [i, name] of names.slice(0, -1).entries()) {
    if (i >= depth - 1 && !isTree(place[name])) place[name] = { ...leaf.initial as Tree };
    place = place[name] as Tree;
  }
  let value: unknown = text;
  if (names.length === depth) value = coerce(leaf.schema, text);
  else try { value = JSON.parse(text) as unknown; } catch { /* stays text */ }
  place[names.at(-1) as string] = value;
};

const show = (value: unknown): string => (value === undefined ? 'nothing' : JSON.stringify(value));

const explain = (issue: z.core.$ZodIssue, tree: Tree, leaves: readonly Leaf[]): string => {
  const path = issue.path.join('.');
  const came = issue.path.reduce<unknown>((value, key) => (isTree(value) || Array.isArray(value) ? (value as Tree)[key as string] : undefined), tree);
  const leaf = leaves.find((candidate) => path === candidate.path || path.startsWith(`${candidate.path}.`));
  if (issue.code === 'custom' || leaf === undefined) return `${path === '' ? 'configuration' : path}: ${issue.message}${path === '' ? '' : `, but received ${show(came)}`}`;
  const name = leaf.flag === undefined ? path : (leaf.flag === path ? `--${leaf.flag}` : `${path} (--${leaf.flag})`);
  return `${name}: expected ${leaf.expected} but received ${show(came)}`;
};

/**
 * Parses a configuration.
 * @param schema an object of leaves and groups, each leaf with a default; a leaf's `.meta({ flag })` is its short flag
 * @param argv flags: `--size 128`, `--optim.lr=1e-4`, `--set optim.lr=1e-4`, `--no-amsgrad`
 * @param options.layers laid over the defaults, in order, before the flags
 * @param options.others flags known elsewhere, for the spelling of suggestions
 * @returns Left for an unknown key (naming its nearest neighbour), or a value of the wrong type or range (what was expected, what came)
 */
export const parseConfig = <C>(schema: z.ZodType<C>, argv: readonly string[], { layers = [], others = [] }: { layers?: readonly Layer[]; others?: readonly string[] } = {}): E.Either<ConfigError, C> => {
  try {
    const leaves = leavesOf(schema);
    const tree = emptyTree(schema);
    for (const layer of layers) overlay(tree, schema, layer, leaves);
    for (const setting of readFlags(leaves, argv, false, others).settings) apply(tree, setting, leaves);
    const parsed = z.safeParse(schema, tree);
    if (parsed.success) return E.right(parsed.data);
    const { issues } = parsed.error;
    return E.left(new ConfigError(issues[0]?.path.join('.') ?? '', issues.map((issue) => explain(issue, tree, leaves)).join('\n')));
  } catch (cause) {
    if (cause instanceof ConfigError) return E.left(cause);
    throw cause;
  }
};

/** Takes from a command line the flags of one schema, and leaves the others to somebody else. */
export const takeOptions = <C>(schema: z.ZodType<C>, argv: readonly string[]): E.Either<ConfigError, Readonly<{ options: C; rest: readonly string[] }>> => {
  try {
    const leaves = leavesOf(schema);
    const { settings, rest } = readFlags(leaves, argv, true, []);
    const flags = settings.map(({ path, text }) => `--${path}=${text}`);
    return E.map((options: C) => ({ options, rest }))(parseConfig(schema, flags));
  } catch (cause) {
    if (cause instanceof ConfigError) return E.left(cause);
    throw cause;
  }
};

/** Reads a JSON file as a layer: a plain configuration, or the `config.resolved.json` of a run. */
export const readLayer = (path: string): E.Either<ConfigError, Layer> => {
  try {
    const values = JSON.parse(readFileSync(path, 'utf8')) as unknown;
    return E.right({ name: path, values: isTree(values) && isTree(values.config) && typeof values.method === 'string' ? values.config : values });
  } catch (cause) {
    const why = cause instanceof SyntaxError ? `expected JSON but ${cause.message}` : `expected a JSON file but ${(cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'found nothing' : (cause as Error).message}`;
    return E.left(new ConfigError(path, `${path}: ${why}`, cause));
  }
};
