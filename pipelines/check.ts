/**
 * Says what is in a paired dataset and what is wrong with it: which layout was recognised, how many pairs, which sizes and kinds of images, every file that
 * cannot be used and why. Every image is decoded, to its last byte.
 * Run: node pipelines/check.ts --data ~/my-pairs [--json] [--strict]
 * Exit status: 0 when a run could train on it, 1 when not (with --strict: or when any file is bad), 2 for a command line that makes no sense.
 */
import { resolve } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import { z } from 'zod';
import { inspectDataset } from '../src/data/inspect.ts';
import { inspectTable } from '../src/data/inspectTable.ts';
import { parseConfig } from '../src/run/config.ts';
import { helpText } from '../src/run/help.ts';
import { terminal } from '../src/run/terminal.ts';

const schema = z.object({
  data: z.string().default('fixtures/splats').describe('folder of the paired dataset').meta({ flag: 'data', value: 'DIR' }),
  json: z.boolean().default(false).describe('print everything as JSON').meta({ flag: 'json' }),
  strict: z.boolean().default(false).describe('a single bad file is a failure').meta({ flag: 'strict' }),
  help: z.boolean().default(false).describe('print this and end').meta({ flag: 'help' }),
});

/** @returns the exit status */
export const check = async (argv: readonly string[], { line, bar, end } = terminal()): Promise<number> => {
  const parsed = parseConfig(schema, argv);
  if (E.isLeft(parsed)) { line(parsed.left.message); return 2; }
  const { data, json, strict, help } = parsed.right;
  if (help) { line(helpText({ usage: 'node pipelines/check.ts', summary: 'check: what is in a paired dataset, and what is wrong with it', schema })); return 0; }
  const found = await inspectDataset(resolve(data), (done, all) => { if (!json) bar(`decoding ${done} of ${all}`); });
  if (!json) end();
  line(json ? JSON.stringify(found, undefined, 2) : inspectTable(found));
  return found.usable && !(strict && found.bad.length > 0) ? 0 : 1;
};

if (import.meta.main) process.exitCode = await check(process.argv.slice(2));
