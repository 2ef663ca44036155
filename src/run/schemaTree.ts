/** A configuration schema as a list of its leaves: what flags, help and messages are made from. */
import { z } from 'zod';

type Schema = z.core.$ZodType;

/** What `.meta()` may say about a leaf. */
export type LeafMeta = Readonly<{
  description?: string;
  /** Short flag, without dashes. */
  flag?: string;
  /** What the flag means when it stands alone. */
  bare?: string;
  /** What help calls the value. */
  value?: string;
}>;

/** One number, word or list of a configuration. */
export type Leaf = LeafMeta & Readonly<{
  /** Dotted place in the configuration. */
  path: string;
  schema: Schema;
  /** What it is when nobody says anything; undefined when it must be given. */
  initial: unknown;
  /** What it may be, in words. */
  expected: string;
}>;

/** A schema without what is wrapped around it: defaults, optionality, transformations. */
const unwrap = (schema: Schema): Schema => {
  const { def } = (schema as z.core.$ZodTypes)._zod;
  switch (def.type) {
    case 'default': case 'prefault': case 'optional': case 'nonoptional': case 'nullable': case 'readonly': case 'catch':
      return unwrap(def.innerType);
    case 'pipe': return unwrap(def.in);
    default: return schema;
  }
};

/** The fields of an object schema, however wrapped; undefined for any other. */
export const fieldsOf = (schema: Schema): Readonly<Record<string, Schema>> | undefined => {
  const { def } = (unwrap(schema) as z.core.$ZodTypes)._zod;
  return def.type === 'object' ? def.shape : undefined;
};

const metaOf = (schema: Schema): LeafMeta => {
  const { def } = (schema as z.core.$ZodTypes)._zod;
  const inner = 'innerType' in def ? metaOf(def.innerType as Schema) : {};
  return { ...inner, ...z.globalRegistry.get(schema) as LeafMeta | undefined };
};

type Json = Readonly<{
  type?: string | readonly string[]; enum?: readonly unknown[]; const?: unknown; anyOf?: readonly Json[]; items?: Json | boolean; prefixItems?: readonly Json[];
  minimum?: number; maximum?: number; exclusiveMinimum?: number; exclusiveMaximum?: number; multipleOf?: number;
  minItems?: number; maxItems?: number; minLength?: number; pattern?: string; additionalProperties?: Json | boolean;
}>;

const numbers = ({ minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf }: Json): string => {
  const real = (bound: number | undefined): bound is number => bound !== undefined && Math.abs(bound) < Number.MAX_SAFE_INTEGER;
  if (real(minimum) && real(maximum)) return ` in ${minimum}..${maximum}${multipleOf === undefined ? '' : `, a multiple of ${multipleOf}`}`;
  const parts = [
    ...(real(minimum) ? [`at least ${minimum}`] : []), ...(real(exclusiveMinimum) ? [`above ${exclusiveMinimum}`] : []),
    ...(real(maximum) ? [`at most ${maximum}`] : []), ...(real(exclusiveMaximum) ? [`below ${exclusiveMaximum}`] : []),
    ...(multipleOf === undefined ? [] : [`a multiple of ${multipleOf}`]),
  ];
  return parts.length === 0 ? '' : ` ${parts.join(' and ')}`;
};

const words = (json: Json): string => {
  if (json.anyOf) return json.anyOf.map(words).join(', or ');
  if (json.enum) return `one of ${json.enum.join(', ')}`;
  if (json.const !== undefined) return JSON.stringify(json.const);
  if (Array.isArray(json.type)) return json.type.map((type: string) => words({ ...json, type })).join(', or ');
  switch (json.type) {
    case 'integer': return `an integer${numbers(json)}`;
    case 'number': return `a number${numbers(json)}`;
    case 'boolean': return 'true or false';
    case 'null': return 'null';
    case 'string': return json.pattern ? `text like ${json.pattern}` : (json.minLength ? 'text that is not empty' : 'text');
    case 'array':
      if (json.prefixItems) return `a list of ${json.prefixItems.length}: ${json.prefixItems.map(words).join(', ')}`;
      return `a list${json.minItems ? ` of at least ${json.minItems}` : ''}${typeof json.items === 'object' ? `, each ${words(json.items)}` : ''}`;
    case 'object': return 'an object';
    default: return 'any value';
  }
};

/** What a schema takes, in words, such as `an integer at least 1`. */
export const expectedOf = (schema: Schema): string => words(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Json);

/** The leaves of a schema, in its order. */
export const leavesOf = (schema: Schema, path = ''): Leaf[] => {
  const fields = fieldsOf(schema);
  if (fields !== undefined) return Object.entries(fields).flatMap(([name, field]) => leavesOf(field, path === '' ? name : `${path}.${name}`));
  return [{ path, schema, ...metaOf(schema), initial: z.safeParse(schema, undefined).data, expected: expectedOf(schema) }];
};

/** A value of a command line, as the kind of thing the schema takes; text that does not look like one stays text, so that the schema can refuse it. */
export const coerce = (schema: Schema, text: string): unknown => {
  const outer = (schema as z.core.$ZodTypes)._zod.def;
  if (outer.type === 'nullable' && text === 'null') return null;
  if ('innerType' in outer) return coerce(outer.innerType as Schema, text);
  const { def } = (unwrap(schema) as z.core.$ZodTypes)._zod;
  const asJson = (): unknown => { try { return JSON.parse(text) as unknown; } catch { return text; } };
  const list = (each: (index: number) => Schema | undefined): unknown => (text.trim().startsWith('[') ? asJson() : text.split(',').map((item, index) => {
    const place = each(index);
    return place === undefined ? item : coerce(place, item.trim());
  }));
  switch (def.type) {
    case 'number': return text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : text;
    case 'boolean': return ({ true: true, yes: true, 1: true, on: true, false: false, no: false, 0: false, off: false } as Record<string, boolean>)[text.toLowerCase()] ?? text;
    case 'literal': return def.values.find((value) => String(value) === text) ?? text;
    case 'array': return list(() => def.element);
    case 'tuple': return list((index) => def.items[index]);
    case 'union': return def.options.map((option) => coerce(option, text)).find((value, i) => z.safeParse(def.options[i] as Schema, value).success) ?? text;
    case 'object': case 'record': case 'any': case 'unknown': return asJson();
    default: return text;
  }
};
