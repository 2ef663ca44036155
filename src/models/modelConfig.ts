/**
 * Model configurations as diffusers writes them to `config.json`: field names and defaults are the reference's, so a file is read and saved as it is.
 * A field we do not know is refused by name, and so is a value we do not support: neither is ever ignored.
 */
import { z } from 'zod';
import { ConfigError } from '../errors.ts';
import { nearestName } from './weights/report.ts';

/** A positive integer. */
export const count = z.int().positive();
export const counts = z.array(count).nonempty();
/** One value for all levels, or one for each. */
export const oneOrMany = <T extends z.ZodType>(value: T) => z.union([value, z.array(value).nonempty()]);
/** Height and width, or one number for both; informative only. */
export const sampleSize = z.union([count, z.tuple([count, count])]).nullable();

/** One of `names`; the reference also takes them with `UNetRes` in front, as its first files had them. */
export const blockType = <const N extends readonly [string, ...string[]]>(names: N): z.ZodType<N[number], unknown> =>
  z.preprocess((name) => (typeof name === 'string' && name.startsWith('UNetRes') ? name.slice('UNetRes'.length) : name), z.enum(names)) as unknown as z.ZodType<N[number], unknown>;

/** One per level, from one for all or a list of that many. @throws ConfigError when the list has another length */
export const perLevel = <T>(model: string, field: string, value: T | readonly T[], levels: number): readonly T[] => {
  if (!Array.isArray(value)) return Array.from({ length: levels }, () => value as T);
  if (value.length !== levels) throw new ConfigError(field, `${model}: expected ${levels} values for ${field} but received ${value.length}`);
  return value as readonly T[];
};

const shown = (value: unknown): string => (value === undefined ? 'nothing' : JSON.stringify(value));

const at = (value: unknown, path: readonly PropertyKey[]): unknown => path.reduce<unknown>((inner, key) => (inner as Record<PropertyKey, unknown> | undefined)?.[key], value);

/**
 * Checks a configuration and fills in the defaults.
 * @param model class name of the reference, such as `AutoencoderKL`; a `_class_name` in `raw` must agree
 * @param schema strict object of all fields
 * @param raw what `config.json` holds; other fields that begin with an underscore are the reference's notes and are passed over
 * @throws ConfigError that names the field, what was expected and what came
 */
export const parseModelConfig = <S extends z.ZodObject>(model: string, schema: S, raw: Readonly<Record<string, unknown>>): z.output<S> => {
  const { _class_name: className = model } = raw;
  if (className !== model) throw new ConfigError('_class_name', `expected the configuration of ${model} but received that of ${shown(className)}`);
  const fields = Object.fromEntries(Object.entries(raw).filter(([name]) => !name.startsWith('_')));
  const result = schema.safeParse(fields);
  if (result.success) return result.data;
  const [issue] = result.error.issues as [z.core.$ZodIssue];
  if (issue.code === 'unrecognized_keys') {
    const [field] = issue.keys as [string];
    const nearest = nearestName(field, Object.keys(schema.shape));
    throw new ConfigError(field, `${model}: the field ${field} is not known${nearest === undefined ? '' : ` (is ${nearest} meant?)`}`, result.error);
  }
  const path = issue.path.join('.');
  throw new ConfigError(path, `${model}: ${path}: ${issue.message.replace(/^Invalid input: /, '').replace(/, received .*$/, '')} but received ${shown(at(fields, issue.path))}`, result.error);
};

/** A check that refuses values by name. @throws ConfigError */
export const refuse = (model: string, field: string, value: unknown, why: string): never => {
  throw new ConfigError(field, `${model}: ${field} = ${shown(value)} ${why}`);
};
