import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Augmentation, type Plan, drawPlan, restPlan } from '../../src/data/augmentations/augmentation.ts';
import { crop } from '../../src/data/augmentations/crop.ts';
import { flip } from '../../src/data/augmentations/flip.ts';
import { hue } from '../../src/data/augmentations/hue.ts';
import { rotate } from '../../src/data/augmentations/rotate.ts';
import { saturation } from '../../src/data/augmentations/saturation.ts';
import { shift } from '../../src/data/augmentations/shift.ts';
import { diskCache, memoryCache } from '../../src/data/cache.ts';
import { type Working, pairDecoder, workingCache, workingCoding } from '../../src/data/decodePair.ts';
import type { PairFile } from '../../src/data/dataset.ts';
import { fold, seeded } from '../../src/random.ts';

let folder = '';
beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), 'millrace-decode-')); });
afterAll(() => rm(folder, { recursive: true }));

const pairOf = (source: string, target: string, part: 'whole' | 'sides' = 'whole'): PairFile => {
  const image = (file: string, half: 'left' | 'right') => ({ path: file, file: join(folder, file), bytes: 0, mtimeMs: 0, hash: '', part: part === 'whole' ? 'whole' as const : half });
  return { id: source, source: image(source, 'left'), target: image(target, 'right') };
};
const off = () => workingCache('off', '');

/** Round dots, dark on light or light on dark, at places given in shares of width and height; drawn with 8 x 8 samples a pixel. */
const dots = async (file: string, [width, height]: readonly [number, number], radius: number, places: readonly (readonly [number, number])[], dark: boolean): Promise<void> => {
  const values = Uint8Array.from({ length: width * height }, (_, i) => {
    const [x, y] = [(i % width) / width, Math.floor(i / width) / height];
    let inside = 0;
    for (const [px, py] of places) {
      if (Math.abs(px - x) * width > radius + 2 || Math.abs(py - y) * height > radius + 2) continue;
      for (let k = 0; k < 64; k++) {
        const [dx, dy] = [(x - px) * width + (k % 8 + 0.5) / 8, (y - py) * height + (Math.floor(k / 8) + 0.5) / 8];
        if (dx * dx + dy * dy < radius * radius) inside++;
      }
    }
    return Math.round(dark ? 235 - 200 * inside / 64 : 20 + 200 * inside / 64);
  });
  const image = sharp(values, { raw: { width, height, channels: 1 } });
  await writeFile(join(folder, file), await (file.endsWith('.jpg') ? image.jpeg({ quality: 100 }) : image.png()).toBuffer());
};

/** Where a dot is found near (u, v), in pixels from the output's corner: its centre of mass. */
const found = (pixels: Float32Array, size: number, [u, v]: readonly [number, number], reach: number): readonly [number, number] => {
  const background = pixels[3 * (Math.round(v - reach) * size + Math.round(u - reach))] as number;
  let [mass, x, y] = [0, 0, 0];
  for (let row = Math.ceil(v - reach - 0.5); row <= v + reach - 0.5; row++) {
    for (let column = Math.ceil(u - reach - 0.5); column <= u + reach - 0.5; column++) {
      const weight = Math.abs((pixels[3 * (row * size + column)] as number) - background);
      if (weight < 0.1) continue;
      mass += weight; x += weight * (column + 0.5); y += weight * (row + 0.5);
    }
  }
  return [x / mass, y / mass];
};

describe('one geometry for both images of a pair, where the plan says', () => {
  const size = 128;
  const grid = Array.from({ length: 49 }, (_, i) => [(0.5 + i % 7) / 7, (0.5 + Math.floor(i / 7)) / 7] as const);
  const kinds: Readonly<Record<string, readonly [readonly [number, number], string, readonly [number, number], string]>> = {
    'equal sizes': [[128, 128], 'png', [128, 128], 'png'],
    'a larger target, not square, as jpeg': [[200, 150], 'png', [401, 301], 'jpg'],
    'shrunk a lot, upright': [[300, 450], 'jpg', [600, 900], 'png'],
  };
  const augmentations: Readonly<Record<string, readonly Augmentation[]>> = {
    'no augmentation': [], 'shift': [shift(0.2)], 'rotate': [rotate(45)], 'crop': [crop(0.6)], 'flip': [flip(1)], 'flip y': [flip(1, { axis: 'y' })],
    'hue and saturation': [hue(60), saturation(0.5)], 'all of them': [shift(0.1), rotate(30), crop(0.8), flip(0.5), hue(30), saturation(0.3)],
  };
  for (const [kind, [size0, ending0, size1, ending1]] of Object.entries(kinds)) {
    it(`${kind}: within a tenth of a pixel`, async () => {
      const [a, b] = [`${kind} a.${ending0}`, `${kind} b.${ending1}`];
      await dots(a, size0, 0.035 * Math.min(...size0), grid, true);
      await dots(b, size1, 0.035 * Math.min(...size1), grid, false);
      const decode = pairDecoder(await off());
      const [width, height] = size0;
      const shorter = Math.min(width, height);
      for (const [name, chosen] of Object.entries(augmentations)) {
        for (let seed = 0; seed < 3; seed++) {
          const plan = drawPlan(chosen, fold(seeded(seed), name));
          const magnifies = chosen.reduce((product, augmentation) => product * augmentation.magnifies, 1);
          const { source, target } = await decode({ pair: pairOf(a, b), spares: [], plan }, { size, magnifies, strict: true });
          const [m, n, tx, o, p, ty] = plan.affine;
          const det = m * p - n * o;
          let seen = 0;
          for (const [x, y] of grid) {
            // Shares of the shorter side from the centre of what is at rest; then back through the map.
            const [cx, cy] = [(x - 0.5) * width / shorter - (plan.place - 0.5) * (width / shorter - 1) - tx, (y - 0.5) * height / shorter - (plan.place - 0.5) * (height / shorter - 1) - ty];
            const at = [((p * cx - n * cy) / det + 0.5) * size, ((m * cy - o * cx) / det + 0.5) * size] as const;
            const reach = 0.065 * size / Math.sqrt(Math.abs(det));
            if (at.some((value) => value < reach + 1 || value > size - reach - 1)) continue;
            seen++;
            const [one, other] = [found(source, size, at, reach), found(target, size, at, reach)];
            const off = [Math.hypot(one[0] - other[0], one[1] - other[1]), Math.hypot(one[0] - at[0], one[1] - at[1]), Math.hypot(other[0] - at[0], other[1] - at[1])];
            expect(Math.max(...off), `${name}, seed ${seed}, dot at ${at.join()}: apart, source, target ${off.join()}`).toBeLessThan(0.1);
          }
          expect(seen).toBeGreaterThan(4);
        }
      }
    });
  }

  it('two equal files stay equal bit by bit, side by side or apart', async () => {
    const noise = Uint8Array.from({ length: 80 * 40 * 3 }, (_, i) => { const at = Math.floor(i / 3); return ((at % 40) * 37 + Math.floor(at / 80) * 101 + i % 3 * 53) % 256; });
    await writeFile(join(folder, 'both.png'), await sharp(noise, { raw: { width: 80, height: 40, channels: 3 } }).png().toBuffer());
    await copyFile(join(folder, 'both.png'), join(folder, 'copy.png'));
    const decode = pairDecoder(await off());
    for (const pair of [pairOf('both.png', 'copy.png'), pairOf('both.png', 'both.png', 'sides')]) {
      const plan = drawPlan([shift(0.1), rotate(30), crop(0.7), flip(0.5), hue(30)], seeded(1));
      const { source, target } = await decode({ pair, spares: [], plan }, { size: 32, magnifies: 1, strict: true });
      expect(source).toEqual(target);
      expect(new Set(source).size).toBeGreaterThan(100);
    }
  });
});

describe('pairs that cannot be decoded', () => {
  const job = (pair: PairFile, spares: readonly PairFile[] = [], plan: Plan = restPlan) => ({ pair, spares, plan });
  const options = { size: 8, magnifies: 1, strict: false };
  const grey = async (file: string, value: number, width = 8, height = 8): Promise<void> => { await writeFile(join(folder, file), await sharp({ create: { width, height, channels: 3, background: { r: value, g: value, b: value } } }).png().toBuffer()); };
  beforeAll(async () => { await grey('good.png', 255); await grey('wide.png', 9, 16, 8); await writeFile(join(folder, 'bad.png'), 'no'); });

  it('are replaced by the first spare that can, under the same plan; what was passed over is told', async () => {
    const decode = pairDecoder(await off());
    const result = await decode(job({ ...pairOf('bad.png', 'good.png'), prompt: 'never shown' }, [pairOf('good.png', 'gone.png'), pairOf('good.png', 'wide.png'), { ...pairOf('good.png', 'good.png'), prompt: 'a field' }]), options);
    expect(result).toMatchObject({ id: 'good.png', prompt: 'a field' });
    expect(result.source.every((value) => value === 1)).toBe(true);
    expect(result.broken).toEqual([
      { path: join(folder, 'bad.png'), why: `${join(folder, 'bad.png')}: expected an image (PNG, JPEG, WebP, TIFF, GIF or AVIF) but the file holds text: "no"` },
      { path: join(folder, 'gone.png'), why: `${join(folder, 'gone.png')}: expected a file but it is gone` },
      { path: join(folder, 'wide.png'), why: `${join(folder, 'wide.png')}: expected the aspect of its source (8 x 8) but it is 16 x 8` },
    ]);
  });
  it('fail when strict, or when no spare is left', async () => {
    const decode = pairDecoder(await off());
    await expect(decode(job(pairOf('bad.png', 'good.png'), [pairOf('good.png', 'good.png')]), { ...options, strict: true })).rejects.toMatchObject({ _tag: 'DecodeError', subject: join(folder, 'bad.png') });
    await expect(decode(job(pairOf('good.png', 'bad.png'), [pairOf('bad.png', 'good.png')]), options)).rejects.toMatchObject({ _tag: 'DecodeError' });
  });
});

describe('the cache of decoded images', () => {
  it.each([
    ['in memory', async () => memoryCache<Working>({ limit: 2 ** 20, sizeOf: ({ data }) => data.byteLength })],
    ['on the disk', () => diskCache({ folder: join(folder, 'edits'), limit: 2 ** 20, coding: workingCoding })],
  ])('decodes nothing twice, and an edited file anew: %s', async (_, make) => {
    const cache = await make();
    const paint = async (file: string, value: number): Promise<void> => { await writeFile(join(folder, file), await sharp({ create: { width: 16, height: 16, channels: 3, background: { r: value, g: value, b: value } } }).png().toBuffer()); };
    const decode = pairDecoder(cache);
    await fc.assert(fc.asyncProperty(fc.array(fc.record({ file: fc.nat(2), value: fc.nat(3), edit: fc.boolean(), size: fc.constantFrom(4, 8) }), { maxLength: 12 }), async (actions) => {
      const shown = [0, 0, 0];
      for (const file of [0, 1, 2]) await paint(`c${file}.png`, 0);
      for (const { file, value, edit, size } of actions) {
        if (edit) { await paint(`c${file}.png`, 50 * value); shown[file] = value; }
        const { source } = await decode({ pair: pairOf(`c${file}.png`, `c${file}.png`), spares: [], plan: restPlan }, { size, magnifies: 1, strict: true });
        expect(source[0]).toBe(Math.fround(50 * (shown[file] as number) * (2 / 255) - 1));
        expect(source).toHaveLength(3 * size * size);
      }
    }), { numRuns: 25 });
    // Four pictures at two sizes, whatever the files are called: everything else was found.
    expect(cache.stats.misses).toBeLessThanOrEqual(8);
    expect(cache.stats.hits).toBeGreaterThan(50);
  });
  it('tells halves, sizes and magnifications apart', async () => {
    await dots('halves.png', [64, 32], 5, [[0.25, 0.5]], true);
    const cache = memoryCache<Working>({ limit: 2 ** 20, sizeOf: ({ data }) => data.byteLength });
    const decode = pairDecoder(cache);
    const { source, target } = await decode({ pair: pairOf('halves.png', 'halves.png', 'sides'), spares: [], plan: restPlan }, { size: 16, magnifies: 1, strict: true });
    expect(source).not.toEqual(target);
    await decode({ pair: pairOf('halves.png', 'halves.png', 'sides'), spares: [], plan: restPlan }, { size: 16, magnifies: 1.5, strict: true });
    expect(cache.stats).toMatchObject({ hits: 0, misses: 4 });
  });
  it.each([Uint8Array.of(1, 2, 3, 4, 5, 6), Uint16Array.of(1, 2, 3, 65535, 5, 6)])('comes back from bytes as it was: %#', async (data) => {
    const image: Working = { width: 2, height: 1, full: [4, 2], data };
    expect(workingCoding.fromBytes(workingCoding.toBytes(image))).toEqual(image);
  });
  it('lies on the disk where asked, or nowhere', async () => {
    const at = join(folder, 'cache');
    await dots('d.png', [16, 16], 3, [[0.5, 0.5]], true);
    const job = { pair: pairOf('d.png', 'd.png'), spares: [], plan: restPlan };
    const results = [];
    for (const where of ['disk', 'disk', 'off', '1MB']) {
      const cache = await workingCache(where, at);
      results.push((await pairDecoder(cache)(job, { size: 8, magnifies: 1, strict: true })).source);
      if (results.length === 2) expect(cache.stats).toMatchObject({ hits: 2, misses: 0 });
    }
    for (const result of results) expect(result).toEqual(results[0]);
    expect((await readFile(join(folder, 'd.png'))).length).toBeGreaterThan(0);
  });
});
