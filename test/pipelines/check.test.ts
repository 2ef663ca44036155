import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { fixtures } from '../../fixtures/index.ts';
import { check } from '../../pipelines/check.ts';
import type { Inspection } from '../../src/data/inspect.ts';

const said = async (...argv: string[]): Promise<Readonly<{ status: number; text: string }>> => {
  const lines: string[] = [];
  const status = await check(argv, { line: (text) => { lines.push(text); }, bar: () => {}, end: () => {} });
  return { status, text: lines.join('\n') };
};

describe('check', () => {
  it('prints a table, or everything as JSON', async () => {
    const table = await said('--data', fixtures.tiny.root);
    expect(table.status).toBe(0);
    expect(table.text).toMatch(/^dataset {2}.*\nlayout {3}train_A\/ train_B\/ test_A\/ test_B\/\n/);
    const json = await said('--data', fixtures.tiny.root, '--json');
    expect(json.status).toBe(0);
    expect((JSON.parse(json.text) as Inspection).pairs).toEqual({ train: 8, heldOut: 2, heldOutBy: 'split', prompts: 0, heldOutPrompts: 0 });
  });

  it('ends with 1 for a folder of no use, and 2 for a flag that is none', async () => {
    expect(await said('--data', `${fixtures.tiny.root}-none`)).toMatchObject({ status: 1, text: expect.stringMatching(/not usable: .*it does not exist$/) as string });
    expect(await said('--dat', 'x')).toEqual({ status: 2, text: '--dat: unknown option; did you mean --data? (--help lists all)' });
    expect(await said('--help')).toMatchObject({ status: 0, text: expect.stringMatching(/node pipelines\/check\.ts \[options\]/) as string });
  });

  it.runIf(process.features.typescript)('is a command', async () => {
    const script = fileURLToPath(new URL('../../pipelines/check.ts', import.meta.url));
    await expect(promisify(execFile)(process.execPath, [script, '--data', 'no/such/folder', '--json'])).rejects.toMatchObject({ code: 1, stdout: expect.stringMatching(/"usable": false/) as string });
  });
});
