import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { recipes, renderPair, toPng, viewsOf } from '../fixtures/generate.ts';
import { fixtures } from '../fixtures/index.ts';
import { coarse, makeScene } from '../fixtures/scene.ts';
import { seeded } from '../src/random.ts';

const filesOf = async (root: string): Promise<string[]> => (await readdir(root, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));

describe.each(['splats', 'tiny'] as const)('fixture %s', (name) => {
  const { root, train, test, size } = fixtures[name];
  const recipe = recipes[name];

  it('has the pairs it says, of the size it says', async () => {
    for (const [split, count] of [['train', train], ['test', test]] as const) {
      const stems = viewsOf(recipe).filter((view) => view.split === split).map(({ stem }) => `${stem}.png`).sort();
      expect(stems).toHaveLength(count);
      for (const side of ['A', 'B']) expect((await readdir(join(root, `${split}_${side}`))).sort()).toEqual(stems);
    }
    expect(await sharp(join(root, 'train_A', 'scene0-view0.png')).metadata()).toMatchObject({ width: size, height: size, channels: 3, format: 'png' });
  });

  it('comes out of its generator again: same seed, same bytes', async () => {
    const views = viewsOf(recipe);
    for (const view of [views[0], views[Math.floor(views.length / 2)], views.at(-1)]) {
      if (view === undefined) throw new Error('expected views');
      const pair = renderPair(recipe, view);
      for (const [side, pixels] of [['A', pair.source], ['B', pair.target]] as const) {
        const file = await readFile(join(root, `${view.split}_${side}`, `${view.stem}.png`));
        expect(Buffer.compare(await sharp(file).raw().toBuffer(), pixels), `pixels of ${view.stem} ${side}`).toBe(0);
        expect(Buffer.compare(await toPng(pixels, size), file), `bytes of ${view.stem} ${side}`).toBe(0);
      }
    }
  });
});

describe('splats', () => {
  it('keeps a quarter of the splats in the source, widened', () => {
    const scene = makeScene(seeded(1));
    const thin = coarse(scene, seeded(1));
    expect(Math.abs(thin.splats.length - scene.splats.length / 4)).toBeLessThanOrEqual(1);
    const spreads = new Set(scene.splats.map(({ spread }) => 3 * spread));
    for (const { spread } of thin.splats.slice(0, 50)) expect(spreads).toContain(spread);
  });

  it('tests on new views of known scenes, and on new scenes', () => {
    const trained = new Set(viewsOf(recipes.splats).filter(({ split }) => split === 'train').map(({ scene }) => scene));
    const tested = viewsOf(recipes.splats).filter(({ split }) => split === 'test').map(({ scene }) => trained.has(scene));
    expect([tested.filter(Boolean).length, tested.filter((known) => !known).length]).toEqual([8, 8]);
    expect(new Set(viewsOf(recipes.splats).map(({ stem }) => stem)).size).toBe(80);
  });

  it('stays under 2 MB with the small one', async () => {
    const sizes = await Promise.all([...await filesOf(fixtures.splats.root), ...await filesOf(fixtures.tiny.root)].map(async (file) => (await stat(file)).size));
    expect(sizes.reduce((a, b) => a + b)).toBeLessThan(2e6);
  });
});
