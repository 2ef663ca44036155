import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { StateDict } from '../../../src/models/net.ts';
import { type TaesdVariant, taesd } from '../../../src/models/taesd.ts';
import { saveSafetensors } from '../../../src/models/weights/saveSafetensors.ts';
import { openTaesd } from '../../../src/models/weights/taesdFiles.ts';

let folder: string;
beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), 'taesd-')); });
afterAll(async () => { await rm(folder, { recursive: true, force: true }); });

/** Zeros in the files of a variant. */
const write = async (variant: TaesdVariant, channels: number): Promise<readonly [string, string]> => {
  const { specs } = taesd({ variant, channels });
  const paths = ['encoder', 'decoder'].map((side) => join(folder, `${variant}_${side}.safetensors`)) as [string, string];
  for (const [i, side] of ['encoder.', 'decoder.'].entries()) {
    const state: StateDict = Object.fromEntries([...specs].filter(([name]) => name.startsWith(side)).map(([name, { shape }]) => [name.slice(side.length), { shape, data: new Float32Array(shape.reduce((product, n) => product * n, 1)) }]));
    await saveSafetensors(paths[i] as string, state, { dtype: 'F16' })();
  }
  return paths;
};

describe('openTaesd', () => {
  it.each([['f8', 4, 8], ['f8', 16, 8], ['f8Pool', 32, 8], ['f32', 32, 32]] as const)('knows %s of %i channels by its tensors', async (variant, channels, factor) => {
    const opened = await openTaesd(...await write(variant, channels))();
    if (E.isLeft(opened)) throw opened.left;
    expect(opened.right.autoencoder).toMatchObject({ config: { variant, channels }, factor, channels });
    expect(Object.keys(opened.right.state)).toHaveLength(opened.right.autoencoder.specs.size);
  });

  it('refuses halves of two variants, and files that are no decoder', async () => {
    const [encoder, decoder] = await write('f8', 4);
    const [other] = await write('f8Pool', 32);
    const failures = await Promise.all([openTaesd(other, decoder)(), openTaesd(encoder, encoder)(), openTaesd(encoder, join(folder, 'none'))()]);
    const messages = failures.map((failure) => (E.isLeft(failure) ? failure.left.message : 'it was opened'));
    expect(messages[0]).toMatch(/unexpected:\n +encoder\.11\.pool\.0\.weight/);
    expect(messages[1]).toMatch(/encoder.safetensors: .*there is no 1.weight in it|do not fit/);
    expect(messages[2]).toMatch(/none: cannot be read/);
  });
});
