import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import sharp from 'sharp';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fixtures } from '../../fixtures/index.ts';
import { inspectDataset } from '../../src/data/inspect.ts';
import { inspectTable } from '../../src/data/inspectTable.ts';

let root = '';
beforeEach(async () => { root = await mkdtemp(join(tmpdir(), 'millrace-inspect-')); });
afterEach(() => rm(root, { recursive: true, force: true }));

const put = async (path: string, bytes: Uint8Array | string): Promise<void> => {
  await mkdir(join(root, dirname(path)), { recursive: true });
  await writeFile(join(root, path), bytes);
};
let shade = 0;
/** No two are alike. */
const image = (width: number, height: number, format: 'png' | 'jpeg' = 'png'): Promise<Buffer> =>
  sharp(Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 7919 + ++shade) % 251), { raw: { width, height, channels: 3 } }).toFormat(format).toBuffer();

describe('inspectDataset', () => {
  it('counts pairs, sizes, kinds and formats', async () => {
    const heard: number[] = [];
    const found = await inspectDataset(fixtures.tiny.root, (done, all) => { heard.push(done); expect(all).toBe(20); });
    expect(found).toMatchObject({
      usable: true, layout: 'train_A/ train_B/ test_A/ test_B/', pairs: { train: 8, heldOut: 2, heldOutBy: 'split', prompts: 0, heldOutPrompts: 0 }, images: 20,
      sizes: [{ what: '32 x 32', images: 20 }], kinds: [{ what: 'sRGB 8 bit', images: 20 }], formats: [{ what: 'png', images: 20 }], bad: [], leaks: [], repeats: [], hints: [],
    });
    expect(heard).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    expect(inspectTable(found)).toMatch(/pairs {4}8 to train on, 2 held out \(a split of the folder\)[^]*\nusable$/);
  });

  it('finds files that are damaged behind a good header, and leaves their pairs out of the count', async () => {
    await cp(fixtures.tiny.root, root, { recursive: true });
    const file = join(root, 'train_B', 'scene0-view3.png');
    const bytes = await readFile(file);
    await writeFile(file, bytes.subarray(0, bytes.length - 300));
    await writeFile(join(root, 'train_A', 'alone.png'), bytes);
    const found = await inspectDataset(root);
    expect(found).toMatchObject({ usable: true, pairs: { train: 7, heldOut: 2 } });
    expect(found.bad).toEqual([
      { path: 'train_A/alone.png', why: 'expected its twin train_B/alone.* but there is none' },
      { path: 'train_B/scene0-view3.png', why: expect.stringMatching(/^expected a complete, undamaged image but reading fails: /) as string },
    ]);
    expect(inspectTable(found)).toMatch(/\nnot used: 2 files\n {2}train_A\/alone\.png: expected its twin[^]*\nusable, without 2 files$/);
  });

  it('finds what training and validation share, what is trained on twice, and what may not be meant', async () => {
    const [a, b, c, d] = [await image(20, 20), await image(20, 20), await image(20, 20), await image(20, 20)];
    const turned = await sharp(await image(20, 20)).withMetadata({ orientation: 6 }).jpeg().toBuffer();
    for (const [path, bytes] of Object.entries({
      'train_A/1.png': a, 'train_B/1.png': b, 'train_A/2.png': c, 'train_B/2.png': b, 'train_A/3.png': d, 'train_B/3.png': d, 'test_A/9.png': a, 'test_B/9.png': await image(20, 20),
      'train_A/4.jpg': turned, 'train_B/4.png': await image(40, 40), 'train_prompts.json': '{"1.png": "a mill", "4.jpg": "another"}', 'test_prompts.json': '{"9.png": "the last"}',
    })) await put(path, bytes);
    const found = await inspectDataset(root);
    expect(found).toMatchObject({ usable: true, pairs: { train: 4, heldOut: 1, prompts: 2, heldOutPrompts: 1 }, leaks: [['train_A/1.png', 'test_A/9.png']], repeats: [['train_B/1.png', 'train_B/2.png'], ['train_A/3.png', 'train_B/3.png']] });
    expect(found.hints).toEqual([
      'pair has one and the same file as source and target: 3', 'pair has an EXIF orientation on one side only; check that both stand upright: 4', 'pair has sides of different size; both are resampled: 4',
    ].map((hint) => `1 ${hint}`));
    expect(inspectTable(found)).toContain('\nprompts  2 of 4 pairs to train on, 1 of those held out\n');
    await put('train_prompts.json', '{"1": "a mill"}');
    await rm(join(root, 'test_prompts.json'));
    const missed = await inspectDataset(root);
    expect(missed.pairs).toMatchObject({ prompts: 0, heldOutPrompts: 0 });
    expect(missed.hints).toContain('train_prompts.json names no image; it should be an object of the sources\' file names, such as "1.png", and texts');
    expect(inspectTable(found)).toContain('scores on held-out pairs will be flattered by 1 image');
  });

  it('says why a folder is of no use, and lists every file', async () => {
    for (const name of ['a', 'b', 'c', 'd']) {
      await put(`source/${name}.png`, await image(8, 8));
      await put(`target/${name}.png`, 'no image');
    }
    const found = await inspectDataset(root);
    expect(found).toMatchObject({ usable: false, error: expect.stringMatching(/expected pairs to train on but found none that can be used/) as string });
    expect(found.bad).toEqual(['a', 'b', 'c', 'd'].map((name) => ({ path: `target/${name}.png`, why: 'expected an image (PNG, JPEG, WebP, TIFF, GIF or AVIF) but the file holds text: "no image"' })));
    expect(inspectTable(found)).toMatch(/\nnot used: 4 files\n[^]*\nnot usable: .*expected pairs to train on/);
    expect(await inspectDataset(join(root, 'none'))).toMatchObject({ usable: false, error: expect.stringMatching(/it does not exist$/) as string, bad: [] });
  });

  it('keeps long lists short', async () => {
    for (let i = 0; i < 15; i++) for (const side of ['source', 'target']) await put(`${side}/${i}.png`, await image(10 + i, 10 + i));
    const table = inspectTable(await inspectDataset(root), 3);
    expect(table).toMatch(/size\n {2}10 x 10 .*\n {2}11 x 11 .*\n {2}12 x 12 .*\n {2}12 others +24\n/);
  });
});
