import { mkdir, mkdtemp, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import sharp from 'sharp';
import type { TaskEither } from 'fp-ts/lib/TaskEither.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { describeDataset } from '../../src/data/dataset.ts';
import { rescanDataset, scanDataset } from '../../src/data/scan.ts';
import type { DatasetError } from '../../src/errors.ts';
import { blackPng, tinyPng } from '../support/images.ts';

let root = '';
beforeEach(async () => { root = await mkdtemp(join(tmpdir(), 'millrace-scan-')); });
afterEach(async () => { await rm(root, { recursive: true, force: true }); });

/** Texts under an image's name become readable images that differ as the texts do; bytes are written as they are. */
const write = async (files: Readonly<Record<string, string | Uint8Array>>): Promise<void> => {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(join(root, dirname(path)), { recursive: true });
    await writeFile(join(root, path), typeof content === 'string' && path.endsWith('.png') ? tinyPng(content) : content);
  }
};
const right = async <A>(task: TaskEither<DatasetError, A>): Promise<A> => {
  const result = await task();
  if (E.isLeft(result)) throw result.left;
  return result.right;
};
const message = async (path: string): Promise<string> => {
  const result = await scanDataset(path)();
  return E.isLeft(result) ? result.left.message : 'no error';
};
const many = (count: number, more: Readonly<Record<string, string | Uint8Array>> = {}) => ({
  ...Object.fromEntries(Array.from({ length: count }, (_, i) => [[`source/p${i}.png`, `s${i}`], [`target/p${i}.png`, `t${i}`]]).flat() as [string, string][]), ...more,
});

describe('scanDataset', () => {
  it('takes the splits of the folder and its prompts', async () => {
    await write({ 'train_A/a.png': '1', 'train_B/a.png': '2', 'test_A/b.png': '3', 'test_B/b.png': '4', 'test_A/c.png': '5', 'test_B/c.png': '6', 'train_prompts.json': '{"a.png": "a red barn", "b.png": "no"}', 'test_prompts.json': '{"b.png": "a blue barn"}' });
    const dataset = await right(scanDataset(root));
    expect(dataset.train.map(({ id, prompt }) => [id, prompt])).toEqual([['a', 'a red barn']]);
    expect(dataset.validation.map(({ id, prompt }) => [id, prompt])).toEqual([['b', 'a blue barn'], ['c', undefined]]);
    expect(dataset.train[0]?.source).toMatchObject({ path: 'train_A/a.png', file: join(root, 'train_A/a.png'), part: 'whole', bytes: tinyPng('1').length, image: { width: 1, height: 1, kind: 'grey 8 bit' } });
    expect(describeDataset(dataset)[0]).toBe(`dataset ${root}: train_A/ train_B/ test_A/ test_B/; 1 pairs to train on (1 with a prompt), 2 held out (a split of the folder)`);
  });

  it('validates on val rather than test, where there are both', async () => {
    await write(Object.fromEntries(['train_A/a', 'train_B/a', 'val_A/b', 'val_B/b', 'test_A/c', 'test_B/c'].map((name) => [`${name}.png`, name])));
    expect((await right(scanDataset(root))).validation.map(({ id }) => id)).toEqual(['b']);
  });

  it('halves side-by-side files', async () => {
    await write({ 'train/a.png': blackPng(2, 1), 'train/thin.png': blackPng(1, 1) });
    const { train, unused } = await right(scanDataset(root));
    expect(train.map(({ source, target }) => [source.path, source.part, target.part])).toEqual([['train/a.png', 'left', 'right']]);
    expect(unused).toEqual([{ path: 'train/thin.png', why: 'expected two images side by side but the file is 1 pixel wide' }]);
  });

  it('holds out a share by content hash, and the same pairs when others are added', async () => {
    await write(many(60));
    const before = await right(scanDataset(root));
    expect(before.heldOutBy).toBe('hash');
    expect(before.validation.length).toBeGreaterThan(1);
    expect(before.validation.length).toBeLessThan(15);
    await write(many(90));
    const after = await right(scanDataset(root));
    const ids = after.validation.map(({ id }) => id);
    for (const { id } of before.validation) expect(ids).toContain(id);
  });

  it('always keeps something to train on and, of several, something to validate on', async () => {
    await write(many(1));
    expect(await right(scanDataset(root))).toMatchObject({ train: [{ id: 'p0' }], validation: [] });
    await write(many(2));
    const { train, validation } = await right(scanDataset(root));
    expect([train.length, validation.length]).toEqual([1, 1]);
  });

  it('says what is wrong with prompts and goes on', async () => {
    await write({ 'train_A/a.png': '1', 'train_B/a.png': '2', 'train_prompts.json': '{' });
    const { unused, train } = await right(scanDataset(root));
    expect(unused[0]?.why).toMatch(/^expected JSON but received/);
    expect(train).toHaveLength(1);
    await write({ 'train_A/b.png': '3', 'train_B/b.png': '4', 'train_prompts.json': '{"a.png": ["a barn"], "b.png": "a barn"}' });
    const some = await right(scanDataset(root));
    expect(some.unused).toEqual([{ path: 'train_prompts.json', why: 'expected a text for each image but received ["a barn"] for a.png' }]);
    expect([...some.train, ...some.validation].map(({ id, prompt }) => [id, prompt]).sort()).toEqual([['a', undefined], ['b', 'a barn']]);
    await write({ 'train_prompts.json': '[1]' });
    expect((await right(scanDataset(root))).unused).toEqual([{ path: 'train_prompts.json', why: 'expected an object of file names and prompts' }]);
  });

  it('leaves out pairs with a bad file, and says what was expected and what came', async () => {
    const good = await right((await write(many(3)), scanDataset(root)));
    const jpeg = await sharp({ create: { width: 40, height: 30, channels: 3, background: '#123' } }).jpeg().toBuffer();
    const bad: Readonly<Record<string, readonly [Uint8Array | string, RegExp]>> = {
      empty: ['', /^expected an image \(PNG, JPEG, WebP, TIFF, GIF or AVIF\) but the file is empty \(0 bytes\)$/],
      text: ['hello, this is text', /^expected an image .* but the file holds text: "hello, this is text"$/],
      noise: [Uint8Array.from({ length: 99 }, (_, i) => (i * 89 + 131) % 256), /but the file begins with the bytes 83dc358ee7409 ?9?/],
      bomb: [blackPng(30_000, 30_000), /^expected at most 100000000 pixels but the header announces 30000 x 30000$/],
      cut: [jpeg.subarray(0, 60), /^expected a complete, undamaged image but reading fails: /],
      wide: [blackPng(40, 20), /^expected the aspect of source\/wide\.png \(1 x 1\) but it is 40 x 20$/],
    };
    for (const [name, [content]] of Object.entries(bad)) await write({ [`source/${name}.png`]: name, [`target/${name}.png`]: Buffer.from(content) });
    const { train, validation, unused } = await right(scanDataset(root));
    expect([...train, ...validation].map(({ id }) => id).sort()).toEqual([...good.train, ...good.validation].map(({ id }) => id).sort());
    expect(unused.map(({ path }) => path).sort()).toEqual(Object.keys(bad).map((name) => `target/${name}.png`).sort());
    for (const { path, why } of unused) expect(why).toMatch((bad[path.slice('target/'.length, -'.png'.length)] as readonly [unknown, RegExp])[1]);
  });

  it('takes pairs of different size and the same aspect', async () => {
    await write({ 'source/a.png': blackPng(33, 25), 'target/a.png': blackPng(66, 49), 'source/b.png': blackPng(8, 8), 'target/b.png': blackPng(512, 512) });
    expect((await right(scanDataset(root))).unused).toEqual([]);
  });

  it('passes over hidden files', async () => {
    await write({ 'source/a.png': '1', 'target/a.png': '2', 'source/._a.png': 'x', '.trash/source/b.png': 'x' });
    expect([...(await right(scanDataset(root))).files.keys()]).toEqual(['source/a.png', 'target/a.png']);
  });

  it('names folder, expectation and finding when there is nothing to use', async () => {
    expect(await message(join(root, 'none'))).toMatch(/none: expected a folder of pairs but it does not exist/);
    expect(await message(root)).toMatch(/expected image files but found none/);
    await write({ 'file.txt': 'x' });
    expect(await message(join(root, 'file.txt'))).toMatch(/expected a folder of pairs but received a file/);
    await write({ 'source/a.png': '1', 'target/b.png': '2' });
    expect(await message(root)).toMatch(/found 2 image files that form no pair\n  source\/a.png: expected its twin target\/a\.\*/);
    await rm(join(root, 'source'), { recursive: true });
    await rm(join(root, 'target'), { recursive: true });
    await write({ 'test_A/a.png': '1', 'test_B/a.png': '2' });
    expect(await message(root)).toMatch(/expected pairs to train on but found only 1 held-out ones/);
  });
});

describe('rescanDataset', () => {
  it('tells added, changed and removed files apart, and does not count a touch', async () => {
    await write(many(3));
    const first = await right(scanDataset(root));
    await utimes(join(root, 'source/p0.png'), new Date(), new Date(Date.now() + 5000));
    expect(await right(rescanDataset(first))).toMatchObject({ added: [], changed: [], removed: [] });
    await write(many(0, { 'source/p1.png': 'other', 'source/new.png': 'n', 'target/new.png': 'n' }));
    await rm(join(root, 'target/p2.png'));
    const changes = await right(rescanDataset(first));
    expect(changes).toMatchObject({ added: ['source/new.png', 'target/new.png'], changed: ['source/p1.png'], removed: ['target/p2.png'] });
    expect(changes.dataset.unused.map(({ path }) => path)).toEqual(['source/p2.png']);
  });

  it('sees an edit of the same size within one tick of the disk\'s clock', async () => {
    await write(many(2));
    const first = await right(scanDataset(root));
    const { mtime } = await stat(join(root, 'target/p0.png'));
    await write({ 'target/p0.png': 'tX' });
    await utimes(join(root, 'target/p0.png'), mtime, mtime);
    expect((await right(rescanDataset(first))).changed).toEqual(['target/p0.png']);
  });

  it('reads nothing again that has not changed', async () => {
    await write(many(2));
    for (const side of ['source', 'target']) for (const i of [0, 1]) await utimes(join(root, `${side}/p${i}.png`), 1e9, 1e9);
    const first = await right(scanDataset(root));
    const again = await right(rescanDataset(first));
    for (const [path, state] of again.dataset.files) expect(state).toBe(first.files.get(path));
  });
});
