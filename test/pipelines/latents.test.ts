import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fixtures } from '../../fixtures/index.ts';
import { writeSdTurbo } from '../../fixtures/sdTurbo/generate.ts';
import { controlPanel } from '../../src/run/control.ts';
import { datasetsOnDisk } from '../../src/run/datasets.ts';
import { methodOf } from '../../src/run/pipelineFiles.ts';
import { runMethod } from '../../src/run/runPipeline.ts';
import { findTrained, withTrained } from '../../src/run/trainedRun.ts';
import { seeded } from '../../src/random.ts';
import * as tf from '../../src/tf.ts';
import { leakFree } from '../support.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-latents-'));
  await writeSdTurbo(join(folder, 'sd'), { levels: 2 });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const settings = (...given: readonly string[]): string[] => given.flatMap((setting) => ['--set', setting]);
const network = ['network.base=8', 'network.multipliers=[1,2]'];
/** Without the sweep over sampler steps, which takes longer than the training. */
const unswept = [...network, 'sample.sweep=[]'];
const cases: readonly (readonly [string, readonly string[]])[] = [
  ['turbo', ['generator.base=8', 'generator.multipliers=[1,2]', 'critic.base=8', 'critic.layers=1', 'critic.history=8']],
  ['regression', unswept], ['ddpm', unswept], ['flow', unswept], ['rectified', [...unswept, 'rectified.teacherSteps=2']], ['lbm', unswept], ['i2sb', unswept], ['residual', unswept],
  ['controlnet', [...unswept, 'controlnet.smooth=target', 'controlnet.again=0.3']], ['straightLine', [...network, 'line.base=8', 'line.halvings=2', 'line.velocity=8']],
];

describe('in the latents of a frozen autoencoder, by one changed line', { timeout: 240_000 }, () => {
  it.each(cases)('%s trains, and is used', async (name, small) => {
    await leakFree(async () => {
      const lines: string[] = [];
      const method = await methodOf(name);
      const code = await runMethod(method, ['--data', fixtures.tiny.root, '--size', '16', '--batch', '2', '--steps', '10', '--out', folder, ...settings(...small, `latent.autoencoder=${join(folder, 'sd', 'vae')}`)],
        { datasets: datasetsOnDisk, report: { line: (text) => { lines.push(text); }, bar: () => {}, end: () => {} }, panel: controlPanel(), script: `${name}.ts` });
      expect(code, lines.join('\n')).toBe(0);
      const { val } = JSON.parse(await readFile(join(folder, name, 'latest', 'summary.json'), 'utf8')) as { val: { psnr: number } };
      expect(val.psnr).toBeGreaterThan(0);
      const trained = await findTrained(join(folder, name, 'latest'), { checkpoint: 'latest' });
      expect(trained.config).toMatchObject({ latent: { factor: 2 } });
      await withTrained(trained, async (nets) => {
        const made = tf.tidy(() => method.translate(nets, trained.config as never)(tf.zeros([1, 16, 32, 3]), { keys: [seeded(0)] }));
        expect(made.shape).toEqual([1, 16, 32, 3]);
        expect((await made.data()).every(Number.isFinite)).toBe(true);
        made.dispose();
      });
    })();
  });
});
