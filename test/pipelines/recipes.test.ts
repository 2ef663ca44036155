import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fixtures } from '../../fixtures/index.ts';
import { vaeGan } from '../../pipelines/vaeGan.ts';
import { parseConfig, readLayer } from '../../src/run/config.ts';
import { controlPanel } from '../../src/run/control.ts';
import { datasetsOnDisk } from '../../src/run/datasets.ts';
import { runMethod } from '../../src/run/runPipeline.ts';
import { leakFree } from '../support.ts';

const folder = join(import.meta.dirname, '..', '..', 'recipes', 'vaeGan');
const recipes = ['eqVae', 'hakuLatent', 'latentDiffusion', 'sdxlVae', 'vqganTraining'];
let out = '';
beforeAll(async () => { out = await mkdtemp(join(tmpdir(), 'millrace-recipes-')); });
afterAll(async () => { await rm(out, { recursive: true, force: true }); });

describe('recipes of vaeGan', () => {
  it('are all read here, and told', async () => {
    expect((await readdir(folder)).filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -5)).sort()).toEqual(recipes);
    const told = await readFile(join(folder, 'README.md'), 'utf8');
    for (const name of recipes) expect(told).toContain(`\`${name}\``);
  });

  it('say what their cards say', () => {
    const read = (name: string) => {
      const layer = readLayer(join(folder, `${name}.json`));
      if (E.isLeft(layer)) throw layer.left;
      const config = parseConfig(vaeGan.schema, [], { layers: [layer.right] });
      if (E.isLeft(config)) throw config.left;
      return config.right;
    };
    expect(read('latentDiffusion').optim.lr).toBeCloseTo(4.5e-6 * 12 * 2, 12);
    expect(read('sdxlVae').optim.lr * read('sdxlVae').optim.floor).toBeCloseTo(9e-7, 12);
    const { l2, lpips, convnext } = read('hakuLatent').loss;
    expect([l2, lpips, convnext]).toEqual([0.25 / 8, 0.3 / 8, 0.45 / 8]);
    expect(read('vqganTraining').loss).toMatchObject({ l2: 0.001, lpips: 1, z: 0.1, kl: 0 });
    expect(read('eqVae').equivariance).toMatchObject({ eqVae: 0.5, small: 0.25, least: 0.25 });
  });

  // The other recipes' parts are trained in methods.test.ts.
  it.each(['latentDiffusion', 'sdxlVae'])('%s trains, made small', (name) => leakFree(async () => {
    const lines: string[] = [];
    const code = await runMethod(vaeGan, ['--config', join(folder, `${name}.json`), '--data', fixtures.tiny.root, '--size', '16', '--batch', '2', '--steps', '2', '--out', out, ...[
      'network.base=8', 'network.multipliers=[1,2]', 'network.depth=1', 'network.groups=4', 'critic.base=8', 'critic.layers=1', 'equivariance.least=0.5', 'optim.accumulate=1',
    ].flatMap((setting) => ['--set', setting])], { datasets: datasetsOnDisk, report: { line: (text) => { lines.push(text); }, bar: () => {}, end: () => {} }, panel: controlPanel(), script: 'vaeGan.ts' });
    expect(code, lines.join('\n')).toBe(0);
    expect(lines.join('\n')).toMatch(/step 2: PSNR [\d.]+ dB/);
  })(), 60_000);
});
