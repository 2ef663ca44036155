import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import sharp from 'sharp';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { translateBy } from '../../src/models/translateBy.ts';
import { normal } from '../../src/random.ts';
import { type InferenceJob, type Picture, checkSteps, findImages, readPicture, translateFiles, translatePictures, writePicture } from '../../src/run/inference.ts';
import type { Translate } from '../../src/run/method.ts';
import { flow } from '../../src/schedules/processes/flow.ts';
import type { Process } from '../../src/schedules/processes/process.ts';
import * as tf from '../../src/tf.ts';
import { leakFree } from '../support.ts';
import { left, right } from './support.ts';

let home: string;
beforeEach(async () => { home = await mkdtemp(join(tmpdir(), 'millrace-infer-')); });
afterEach(() => rm(home, { recursive: true }));

const options = { multiple: 8, tile: 32, overlap: 8, batch: 2, seed: 7 };
/** Shapes it was called with, and an error for odd sizes. */
const watched = (shapes: number[][]): Translate => (source) => {
  shapes.push([...source.shape]);
  return tf.neg(source);
};
const noisy: Translate = (source, { keys }) => tf.add(tf.mul(source, 0.5), tf.stack(keys.map((key) => tf.tensor3d(normal(key, 8 * 8 * 3).map((x) => 0.1 * x), [8, 8, 3]))));
const picture = (height: number, width: number, phase = 0): Picture => ({ height, width, data: Float32Array.from({ length: height * width * 3 }, (_, i) => Math.sin(i + phase)) });
/** How far a picture is from the negative of another, at the most. */
const largest = (made: Float32Array, original: Float32Array): number => Math.max(...made.map((value, i) => Math.abs(value + (original[i] as number))));
const save = async (name: string, width: number, height: number): Promise<void> => {
  await mkdir(join(home, name, '..'), { recursive: true });
  await sharp({ create: { width, height, channels: 3, background: { r: 255, g: 51, b: 0 } } }).toFile(join(home, name));
};

describe('translatePictures', () => {
  it('gives each picture its own size back, padded for the model and cropped', leakFree(async () => {
    const shapes: number[][] = [];
    for (const [height, width] of [[1, 1], [8, 8], [13, 30], [32, 9]] as const) {
      const one = picture(height, width);
      const [made] = await translatePictures(watched(shapes), [{ name: 'a', picture: one }], options);
      expect([made?.height, made?.width]).toEqual([height, width]);
      expect(largest(made?.data as Float32Array, one.data)).toBeLessThan(1e-6);
    }
    expect(shapes).toEqual([[1, 8, 8, 3], [1, 8, 8, 3], [1, 16, 32, 3], [1, 32, 16, 3]]);
  }));

  it('does large pictures in pieces of one shape', leakFree(async () => {
    const shapes: number[][] = [];
    const one = picture(70, 41);
    const [made] = await translatePictures(watched(shapes), [{ name: 'a', picture: one }], options);
    expect(largest(made?.data as Float32Array, one.data)).toBeLessThan(1e-5);
    expect(shapes).toEqual(Array.from({ length: 3 }, () => [2, 32, 32, 3]));
  }));

  it('takes as many pieces at a time as have the pixels of one tile, when not told', leakFree(async () => {
    const shapes: number[][] = [];
    const { batch: _, ...rest } = options;
    for (const [height, width, count] of [[8, 8, 20], [16, 16, 5], [40, 40, 1]] as const) {
      await translatePictures(watched(shapes), Array.from({ length: count }, (_, i) => ({ name: `${i}`, picture: picture(height, width) })), rest);
    }
    expect(shapes).toEqual([[16, 8, 8, 3], [16, 8, 8, 3], [4, 16, 16, 3], [4, 16, 16, 3], ...Array.from({ length: 4 }, () => [1, 32, 32, 3])]);
  }));

  it('gives a picture the same noise alone and among others', leakFree(async () => {
    const pictures = [0, 1, 2].map((i) => ({ name: `${i}`, picture: picture(8, 8, i) }));
    const together = await translatePictures(noisy, pictures, options);
    for (const [i, one] of pictures.entries()) {
      const [alone] = await translatePictures(noisy, [one], { ...options, batch: 1 });
      expect(alone).toEqual(together[i]);
    }
    expect((await translatePictures(noisy, [{ ...pictures[0]!, name: 'x' }], options))[0]).not.toEqual(together[0]);
    expect(await translatePictures(noisy, [], options)).toEqual([]);
  }));
});

describe('readPicture and writePicture', () => {
  it.each(['png', 'jpg', 'webp', 'tiff', 'gif', 'avif'])('keep the picture, as %s', async (kind) => {
    const one = { height: 16, width: 24, data: new Float32Array(16 * 24 * 3).map((_, i) => [1, -0.6, -1][i % 3] as number) };
    const path = join(home, 'deep', 'er', `a.${kind}`);
    await writePicture(path, one);
    const back = await right(readPicture(path));
    expect([back.height, back.width]).toEqual([16, 24]);
    const tolerance = kind === 'png' || kind === 'tiff' ? 1e-6 : 0.06;
    expect(Math.max(...back.data.map((value, i) => Math.abs(value - (one.data[i] as number))))).toBeLessThan(tolerance);
    expect((await readdir(join(home, 'deep', 'er')))).toEqual([`a.${kind}`]);
  });

  it('name a file that is no picture', async () => {
    await writeFile(join(home, 'a.png'), 'hello');
    expect((await left(readPicture(join(home, 'a.png')))).message).toMatch(/a\.png: expected an image .* but the file holds text: "hello"/);
    expect((await left(readPicture(join(home, 'b.png')))).message).toContain('b.png');
  });
});

describe('findImages', () => {
  const names = async (out: string, keep = false): Promise<string[][]> => (await right(findImages(join(home, 'in'), out, keep))).map(({ from, to }) => [from.slice(home.length + 1), to.slice(out.length + 1)]);

  it('finds all below, in order, and keeps their names', async () => {
    for (const name of ['in/b.png', 'in/a.jpg', 'in/sub/c.tiff', 'in/same.jpg', 'in/same.png']) await save(name, 4, 4);
    await writeFile(join(home, 'in', 'notes.txt'), 'x');
    expect(await names(join(home, 'out'))).toEqual([
      [join('in', 'a.jpg'), 'a.png'], [join('in', 'b.png'), 'b.png'], [join('in', 'same.jpg'), 'same.jpg.png'], [join('in', 'same.png'), 'same.png.png'], [join('in', 'sub', 'c.tiff'), join('sub', 'c.png')],
    ]);
    expect((await names(join(home, 'out'), true)).map(([, to]) => to)).toEqual(['a.jpg', 'b.png', 'same.jpg', 'same.png', join('sub', 'c.tiff')]);
    await save('in/out/old.png', 4, 4);
    expect((await names(join(home, 'in', 'out'))).some(([from]) => from?.includes('old'))).toBe(false);
    expect((await right(findImages(join(home, 'in', 'b.png'), join(home, 'out'), false))).map(({ to }) => to)).toEqual([join(home, 'out', 'b.png')]);
  });

  it('says what is wrong with the folder', async () => {
    await save('in/a.png', 4, 4);
    await mkdir(join(home, 'empty'));
    expect((await left(findImages(join(home, 'nothing'), 'out', false))).message).toContain('nothing: expected an image or a folder of images but found nothing');
    expect((await left(findImages(join(home, 'empty'), 'out', false))).message).toContain('empty: expected images (PNG');
    expect((await left(findImages(join(home, 'in'), join(home, 'in'), false))).message).toContain('would be written over');
  });
});

describe('translateFiles', () => {
  it('goes on after bad files, groups equal sizes, and tells each once', leakFree(async () => {
    for (const [name, width] of [['1', 8], ['2', 8], ['3', 8], ['4', 16], ['6', 80], ['7', 8]] as const) await save(`in/${name}.png`, width, 8);
    await writeFile(join(home, 'in', '5.png'), 'no image');
    const shapes: number[][] = [];
    const told: [string, boolean][] = [];
    const jobs = await right(findImages(join(home, 'in'), join(home, 'out'), false));
    const failed = await translateFiles(watched(shapes), jobs, options, ({ from }: InferenceJob, result) => { told.push([from.slice(-5), E.isRight(result)]); });
    expect(failed).toBe(1);
    expect(told.toSorted(([a], [b]) => a.localeCompare(b))).toEqual([['1.png', true], ['2.png', true], ['3.png', true], ['4.png', true], ['5.png', false], ['6.png', true], ['7.png', true]]);
    expect(shapes).toEqual([[2, 8, 8, 3], [1, 8, 8, 3], [1, 8, 16, 3], [2, 8, 32, 3], [2, 8, 32, 3], [1, 8, 8, 3]]);
    expect((await readdir(join(home, 'out'))).sort()).toEqual(['1.png', '2.png', '3.png', '4.png', '6.png', '7.png']);
    expect([...(await sharp(join(home, 'out', '6.png')).raw().toBuffer()).subarray(0, 3)]).toEqual([0, 204, 255]);
  }));

  it('counts what the model fails on', leakFree(async () => {
    for (const name of ['1', '2']) await save(`in/${name}.png`, 8, 8);
    const jobs = await right(findImages(join(home, 'in'), join(home, 'out'), false));
    const messages: string[] = [];
    const failed = await translateFiles(() => { throw new Error('boom'); }, jobs, options, (_, result) => { if (E.isLeft(result)) messages.push(result.left.message); });
    expect([failed, messages]).toEqual([2, ['boom', 'boom']]);
  }));
});

describe('checkSteps', () => {
  const by = (process: Process): Translate => (source, { keys, steps: calls = 1 }) => translateBy(process, (input) => input, source, { calls, keys });

  it('takes what the model takes, refuses the rest in the model\'s words, and tells where a number changes nothing', leakFree(() => {
    expect(checkSteps(by(flow()), 3, 4)).toEqual(E.right(undefined));
    expect(checkSteps((source) => tf.neg(source), 3, 4)).toEqual(E.right('--steps 3 changes nothing: the model has one way only'));
    const refused = checkSteps(by(flow({ sampler: 'heun' })), 2, 4);
    expect(E.isLeft(refused) && refused.left.message).toBe('--steps 2: flow: expected an odd number of calls for heun (2 n - 1 for n steps) but received 2');
  }));
});
