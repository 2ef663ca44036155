import { readdirSync } from 'node:fs';
import { expect, it } from 'vitest';
import { readGolden } from '../../bench/parity/golden.ts';
import { handlers } from '../../bench/parity/models.ts';

/** Values of diffusers 0.35.2 in float32, for configurations that between them use every block type and option; weights come from a formula. */
const root = new URL('../goldens/models/', import.meta.url).pathname;
const kinds = new Set(handlers.map(({ kind }) => kind));

it.each(readdirSync(root))('%s equals the reference', { timeout: 240_000 }, async (name) => {
  const golden = await readGolden(`${root}${name}`);
  const handler = handlers.find(({ matches }) => matches(golden));
  // Folders of other classes are held to by the tests of those.
  if (!handler || !kinds.has(String(golden.manifest.config['class']))) return;
  const comparisons = await handler.run(golden);
  expect(comparisons.length).toBeGreaterThan(4);
  expect(comparisons.filter(({ error, limit }) => !(error <= limit))).toEqual([]);
});
