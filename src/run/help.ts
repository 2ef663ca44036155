import { z } from 'zod';
import { type Leaf, leavesOf } from './schemaTree.ts';

const flagOf = ({ flag, value, bare, expected }: Leaf): string => {
  if (expected === 'true or false') return `--${flag}`;
  const name = value ?? (/number|integer/.test(expected) ? 'N' : 'VALUE');
  return bare === undefined ? `--${flag} ${name}` : `--${flag}[=${name}]`;
};

const columns = (rows: readonly (readonly string[])[]): string => {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => (row[i] as string).length)));
  return rows.map((row) => `  ${row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] as number))).join('  ')}`.trimEnd()).join('\n');
};

const valueOf = ({ schema, initial }: Leaf): string => {
  if (initial === undefined) return z.safeParse(schema, undefined).success ? '(none)' : '(must be given)';
  return typeof initial === 'string' ? initial || '(none)' : JSON.stringify(initial);
};

/**
 * The text of `--help`, from the schemas that parse the command line: every flag, every key with its default, what it may be, and what it means.
 * @param options.usage how the program is started, such as `node pipelines/turbo.ts`
 * @param options.options schema of flags that are not configuration
 */
export const helpText = ({ usage, summary, options, schema }: { usage: string; summary: string; options?: z.ZodType; schema: z.ZodType }): string => {
  const leaves = leavesOf(schema);
  const about = ({ description = '', expected }: Leaf): string => (description === '' ? expected : `${description}; ${expected}`);
  const example = leaves.find(({ flag, path, expected }) => flag === undefined && path.includes('.') && expected.startsWith('a number')) ?? leaves[0];
  return [
    summary,
    `\n${usage} [options]`,
    ...(options ? [`\nOptions\n${columns(leavesOf(options).map((leaf) => [flagOf(leaf), leaf.description ?? '']))}`] : []),
    `\nConfiguration, with defaults${example ? `: --set ${example.path}=${valueOf(example)}, or --${example.path}=${valueOf(example)}` : ''}, or the short flag where there is one\n${
      columns(leaves.map((leaf) => [leaf.path, leaf.flag ? `--${leaf.flag}` : '', valueOf(leaf), about(leaf)]))}`,
  ].join('\n');
};
