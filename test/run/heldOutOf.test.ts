import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Dataset } from '../../src/data/dataset.ts';
import { reconstructionOf } from '../../src/data/reconstruction.ts';
import { scanDataset } from '../../src/data/scan.ts';
import { heldOutOf, spread } from '../../src/run/heldOut.ts';
import { right } from './support.ts';

let root: string;
let dataset: Dataset;
const grey = async (path: string, value: number): Promise<void> => { await writeFile(path, await sharp({ create: { width: 20, height: 16, channels: 3, background: { r: value, g: value, b: value } } }).png().toBuffer()); };
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'millrace-held-'));
  for (const folder of ['train_A', 'train_B', 'test_A', 'test_B']) await mkdir(join(root, folder));
  for (const [i, value] of [0, 255, 51].entries()) {
    await grey(join(root, 'train_A', `${i}.png`), 10 * i);
    await grey(join(root, 'train_B', `${i}.png`), value);
    await grey(join(root, 'test_A', `${i}.png`), value);
    await grey(join(root, 'test_B', `${i}.png`), 255 - value);
  }
  dataset = await right(scanDataset(root));
  await writeFile(join(root, 'test_B', '1.png'), 'no image any more');
});
afterAll(() => rm(root, { recursive: true }));

const context = (strict = false) => {
  const skipped: string[] = [];
  return { dataset, strict, skipped, skippedFiles: { count: 0, add: (path: string) => { skipped.push(path); } } };
};

describe('heldOutOf', () => {
  it.each([['in memory', 2 ** 20], ['decoded each time', 0]])('gives the pairs that can be read, %s', async (_, memory) => {
    const run = context();
    const heldOut = heldOutOf(run, { size: 8, memory });
    expect([heldOut.height, heldOut.width]).toEqual([8, 8]);
    for (let round = 0; round < 2; round++) {
      const pairs = await Promise.all((await heldOut.pairs()).map((load) => load()));
      expect(pairs.map(({ id, source, target }) => [id, source.length, source[0], target[0]])).toEqual([['0', 192, -1, 1], ['2', 192, Math.fround(-0.6), Math.fround(0.6)]]);
    }
    expect(run.skipped).toEqual([join(root, 'test_B', '1.png')]);
  });

  it('fails where the run is strict, naming the file', async () => {
    await expect(heldOutOf(context(true), { size: 8 }).pairs()).rejects.toThrow(join('test_B', '1.png'));
  });

  it('takes the mean of the training targets', async () => {
    const mean = await heldOutOf(context(), { size: 8 }).meanTarget();
    expect(mean?.images).toBe(3);
    expect(mean?.image[5]).toBeCloseTo((-1 + 1 - 0.6) / 3, 6);
    expect((await heldOutOf(context(), { size: 8, means: 1 }).meanTarget())?.image[0]).toBe(-1);
  });

  it('has each image as its own target for a method that reconstructs', async () => {
    const heldOut = heldOutOf({ ...context(), dataset: reconstructionOf(dataset, 'targets') }, { size: 8 });
    const pairs = await Promise.all((await heldOut.pairs()).map((load) => load()));
    expect(heldOut.reconstructs).toBe(true);
    expect(pairs.map(({ id, source, target }) => [id, source[0], target[0]])).toEqual([['0', 1, 1], ['2', Math.fround(0.6), Math.fround(0.6)]]);
  });

  it('takes no more than the limit, evenly spread', async () => {
    expect(await heldOutOf(context(), { size: 8, limit: 1 }).pairs()).toHaveLength(1);
    expect(spread([0, 1, 2, 3, 4, 5, 6], 3)).toEqual([0, 2, 4]);
    expect(spread([0, 1], 3)).toEqual([0, 1]);
  });
});
