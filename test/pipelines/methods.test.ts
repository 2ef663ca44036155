import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fixtures } from '../../fixtures/index.ts';
import { writeSdTurbo } from '../../fixtures/sdTurbo/generate.ts';
import { controlnet } from '../../pipelines/controlnet.ts';
import { ddpm } from '../../pipelines/ddpm.ts';
import { flow } from '../../pipelines/flow.ts';
import { i2sb } from '../../pipelines/i2sb.ts';
import { lbm } from '../../pipelines/lbm.ts';
import { r3gan } from '../../pipelines/r3gan.ts';
import { rectified } from '../../pipelines/rectified.ts';
import { regression } from '../../pipelines/regression.ts';
import { residual } from '../../pipelines/residual.ts';
import { sdTurbo } from '../../pipelines/sdTurbo.ts';
import { taesd } from '../../pipelines/taesd.ts';
import { straightLine } from '../../pipelines/straightLine.ts';
import { turbo } from '../../pipelines/turbo.ts';
import { vae } from '../../pipelines/vae.ts';
import { vaeGan } from '../../pipelines/vaeGan.ts';
import { lpips } from '../../src/models/lpips.ts';
import { saveSafetensors } from '../../src/models/weights/saveSafetensors.ts';
import { fold, seeded } from '../../src/random.ts';
import { controlPanel } from '../../src/run/control.ts';
import { datasetsOnDisk } from '../../src/run/datasets.ts';
import type { BaseConfig, Method } from '../../src/run/method.ts';
import { runMethod } from '../../src/run/runPipeline.ts';
import { engineStats, resetEngineStats } from '../../src/tf.ts';
import type { Resource } from '../../src/streams/scoped.ts';
import { leakFree } from '../support.ts';

let folder = '';
/** LPIPS with a trunk of random weights, in a file: what is learned from it is nonsense, but it is learned. */
const writeLpips = async (path: string): Promise<void> => {
  const { specs } = lpips('squeeze');
  const state = Object.fromEntries([...specs].map(([name, { shape, init }]) => [name, { shape, data: init(fold(seeded(0), name), shape) }]));
  const written = await saveSafetensors(path, state)();
  if (E.isLeft(written)) throw written.left;
};
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-methods-'));
  await writeLpips(join(folder, 'lpips.safetensors'));
  await writeSdTurbo(join(folder, 'sd'), { levels: 1 });
});
afterAll(async () => { await rm(folder, { recursive: true, force: true }); });

type AnyMethod = Method<BaseConfig & never, Readonly<Record<string, Resource>>>;
const small = ['--set', 'network.base=8', '--set', 'network.multipliers=[1,2]'];
/** Without the sweep over sampler steps, which is the same for all and takes longer than the training. */
const unswept = [...small, '--set', 'sample.sweep=[]'];
const smallGame = ['generator.base=8', 'generator.most=16', 'critic.base=8', 'critic.most=16'].flatMap((setting) => ['--set', setting]);
const smallGan = [...small, '--set', 'critic.base=8', '--set', 'critic.layers=1'];
/** How many graphs the phases of a case have, where that is not one. */
const graphs: Readonly<Record<string, number>> = { rectified: 2, controlnet: 2, 'controlnet on smoothed and regenerated copies': 3 };
const smallStudent = ['student.width=8', 'gan.base=8', 'gan.layers=1', 'gan.history=8'].flatMap((setting) => ['--set', setting]);
const cases: readonly (readonly [string, unknown, string, readonly string[]])[] = [
  ['turbo', turbo, 'generator.l2', ['--set', 'generator.base=8', '--set', 'generator.multipliers=[1,2]', '--set', 'critic.base=8', '--set', 'critic.layers=1', '--set', 'critic.history=8']],
  ['turbo, stochastic, accumulating', turbo, 'generator.l2', ['--set', 'generator.base=8', '--set', 'generator.multipliers=[1,2]', '--set', 'critic.base=8', '--set', 'critic.layers=1', '--set', 'generator.gamma=0.8', '--set', 'optim.accumulate=2']],
  ['turbo with LPIPS', turbo, 'generator.lpips', ['--set', 'generator.base=8', '--set', 'generator.multipliers=[1,2]', '--set', 'critic.base=8', '--set', 'critic.layers=1', '--set', 'data.size=32', '--set', 'lpips.backbone=squeeze', '--set', 'lpips.weights=["LPIPS"]']],
  ['sdTurbo, with tokens in place of a caption', sdTurbo, 'generator.l2', ['--init', 'SDTURBO', '--set', 'generator.text=learned', '--set', 'critic.base=8', '--set', 'critic.layers=1']],
  ['regression', regression, 'denoiser.l1', small],
  ['regression with a critic (pix2pix)', regression, 'denoiser.l1', [...small, '--set', 'loss.l1=100', '--set', 'loss.gan=1', '--set', 'critic.base=8', '--set', 'critic.layers=1']],
  ['ddpm', ddpm, 'denoiser.loss', [...unswept, '--set', 'ddpm.prediction=v_prediction']],
  ['ddpm with Min-SNR and DREAM', ddpm, 'denoiser.loss', [...unswept, '--set', 'weighting=minSnr', '--set', 'dream=1', '--set', 'ddpm.prediction=sample']],
  ['flow from noise', flow, 'denoiser.loss', [...small, '--set', 'flow.from=noise']],
  ['flow from the source', flow, 'denoiser.loss', [...unswept, '--set', 'flow.from=source']],
  ['flow with Min-SNR and DREAM', flow, 'denoiser.loss', [...unswept, '--set', 'weighting=minSnr', '--set', 'dream=1']],
  ['rectified', rectified, 'denoiser.loss', [...small, '--set', 'rectified.teacherSteps=2']],
  ['rectified, distillation alone, from the source', rectified, 'denoiser.loss', [...small, '--set', 'rectified.teacherSteps=2', '--set', 'rectified.phase=distil', '--set', 'rectified.from=source']],
  ['controlnet', controlnet, 'denoiser.loss|control.loss', small],
  ['controlnet on smoothed and regenerated copies', controlnet, 'denoiser.loss|control.loss', [...small, '--set', 'controlnet.smooth=target', '--set', 'controlnet.again=0.3', '--set', 'sample.steps=2']],
  ['straightLine', straightLine, 'direct.l1', [...small, '--set', 'line.base=8', '--set', 'line.halvings=2', '--set', 'line.velocity=8']],
  ['lbm', lbm, 'denoiser.loss', unswept],
  ['i2sb', i2sb, 'denoiser.loss', [...unswept, '--set', 'data.batch=8']],
  ['r3gan', r3gan, 'generator.l1', [...smallGame, '--set', 'final.augment=0']],
  ['r3gan from noise', r3gan, 'critic.adversarial', [...smallGame, '--set', 'game.from=noise']],
  ['taesd (1.2)', taesd, 'encoder.mse', [...smallStudent, '--set', 'recipe=v1.2']],
  ['taesd by seraena', taesd, 'decoder.distance', [...smallStudent, '--set', 'gan.loss=seraena', '--set', 'loss.mse=1']],
  ['residual (ResShift)', residual, 'denoiser.loss', small],
  ['vae', vae, 'vae.l1', small],
  ['vae with LPIPS, a fixed posterior and other terms', vae, 'vae.lpips', [...small, '--set', 'data.size=32', '--set', 'perceptual.backbone=squeeze', '--set', 'perceptual.lpips=["LPIPS"]', '--set', 'network.posterior=fixed', '--set', 'network.std=0.1', '--set', 'loss.kl=0', '--set', 'loss.z=0.1', '--set', 'loss.edge=0.1', '--set', 'loss.pooled=0.1', '--set', 'loss.l2=0.5']],
  ['vaeGan', vaeGan, 'vae.l1', [...smallGan, '--set', 'gan.start=20']],
  ['vaeGan with EQ-VAE', vaeGan, 'vae.l1', [...smallGan, '--set', 'equivariance.eqVae=0.5', '--set', 'equivariance.least=0.5', '--set', 'data.size=32', '--set', 'gan.start=0']],
  ['vaeGan as HakuLatent', vaeGan, 'vae.l2', [...smallGan, '--set', 'equivariance.affine=0.5', '--set', 'equivariance.blend=0.5', '--set', 'network.codebook=16', '--set', 'loss.codebook=1', '--set', 'loss.l1=0', '--set', 'loss.l2=1', '--set', 'gan.balance=fixed']],
  ['vaeGan as vqgan-training', vaeGan, 'vae.l1', [...smallGan, '--set', 'equivariance.flip=0.5', '--set', 'equivariance.crop=0.5', '--set', 'gan.balance=normalised', '--set', 'gan.loss=nonSaturating', '--set', 'gan.lecam=0.1', '--set', 'network.posterior=fixed', '--set', 'network.std=0.1', '--set', 'network.bound=8', '--set', 'loss.z=0.1', '--set', 'loss.kl=0']],
  ['residual with retentive attention', residual, 'denoiser.loss', [...small, '--set', 'network.retentive=true']],
  ['residual (RDDM)', residual, 'denoiser.loss', [...unswept, '--set', 'residual.variant=rddm', '--set', 'residual.steps=100']],
];

/** Trains on the tiny fixture; returns the logged values of one metric (or of `a|b`, whichever a step has), and how many graphs were compiled by the end of each step. */
const train = async (method: AnyMethod, metric: string, name: string, flags: readonly string[]): Promise<Readonly<{ losses: number[]; psnr: number; compiled: readonly number[] }>> => {
  const out = join(folder, name.replace(/\W+/g, '-'));
  const lines: string[] = [];
  const compiled: number[] = [];
  resetEngineStats();
  const code = await runMethod(method, ['--data', fixtures.tiny.root, '--size', '16', '--batch', '2', '--steps', '50', '--out', out,
    '--set', 'track.logEvery=1', '--set', 'track.validateEvery=50', '--set', 'track.sampleEvery=50', '--set', 'track.saveEvery=50', '--set', 'optim.lr=0.003', '--set', 'optim.warmUp=2', ...flags.map((flag) => flag.replace('LPIPS', join(folder, 'lpips.safetensors')).replace('SDTURBO', join(folder, 'sd')))],
  { datasets: datasetsOnDisk, report: { line: (text) => { lines.push(text); }, bar: () => { compiled.push(engineStats().compilations); }, end: () => {} }, panel: controlPanel(), script: `${method.name}.ts` });
  expect(code, lines.join('\n')).toBe(0);
  const run = join(out, method.name, 'latest');
  const logged = (await readFile(join(run, 'metrics.jsonl'), 'utf8')).trim().split('\n').map((line) => JSON.parse(line) as Record<string, number>);
  const summary = JSON.parse(await readFile(join(run, 'summary.json'), 'utf8')) as { val: { psnr: number } };
  return { losses: logged.map((record) => metric.split('|').map((name) => record[name]).find((value) => value !== undefined) as number), psnr: summary.val.psnr, compiled };
};

// A row may be a graph of thousands of operations, which is compiled once.
describe('every pipeline', { timeout: 240_000 }, () => {
  it.each(cases)('%s learns on a real folder, end to end, and frees what it made', async (name, method, metric, flags) => {
    await leakFree(async () => {
      const { losses, psnr, compiled } = await train(method as AnyMethod, metric, name, flags);
      const mean = (some: readonly number[]): number => some.reduce((a, b) => a + b, 0) / some.length;
      expect(losses).toHaveLength(50);
      expect(mean(losses.slice(-15))).toBeLessThan(mean(losses.slice(0, 15)));
      expect(Number.isFinite(psnr)).toBe(true);
      // One graph for all steps of a phase, whatever the learning rate; none where a method before had the same. Validation and samples come after the last step.
      expect(new Set(compiled.slice(1, 49)).size).toBe(graphs[name] ?? 1);
      expect(compiled[1]).toBeLessThanOrEqual(1);
    })();
  });
});
