import { cp, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fixtures } from '../../fixtures/index.ts';
import { flow } from '../../pipelines/flow.ts';
import { vae } from '../../pipelines/vae.ts';
import { follow } from '../../src/run/atomic.ts';
import { controlPanel } from '../../src/run/control.ts';
import { datasetsOnDisk } from '../../src/run/datasets.ts';
import type { BaseConfig, Method } from '../../src/run/method.ts';
import { runMethod } from '../../src/run/runPipeline.ts';
import type { Resource } from '../../src/streams/scoped.ts';
import { leakFree } from '../support.ts';

let out = '';
beforeAll(async () => { out = await mkdtemp(join(tmpdir(), 'millrace-vae-')); });
afterAll(async () => { await rm(out, { recursive: true, force: true }); });

type AnyMethod = Method<BaseConfig & never, Readonly<Record<string, Resource>>>;
const small = ['--data', fixtures.tiny.root, '--size', '16', '--batch', '2', '--set', 'network.base=8', '--set', 'track.saveEvery=4'];
/** Runs a method; returns what it said, and its run folder. */
const run = async (method: unknown, ...flags: readonly string[]): Promise<Readonly<{ lines: string[]; folder: string }>> => {
  const lines: string[] = [];
  const code = await runMethod(method as AnyMethod, [...flags, '--out', out],
    { datasets: datasetsOnDisk, report: { line: (text) => { lines.push(text); }, bar: () => {}, end: () => {} }, panel: controlPanel(), script: 'x.ts' });
  expect(code).toBe(0);
  return { lines, folder: await follow(join(out, (method as AnyMethod).name, 'latest')) };
};
const json = async (...path: string[]): Promise<Record<string, never>> => JSON.parse(await readFile(join(...path), 'utf8')) as Record<string, never>;

describe('vae', () => {
  it('leaves an autoencoder that another method works in, by one changed line, and that a resumed run finds again', leakFree(async () => {
    const trained = await run(vae, ...small, '--steps', '4', '--set', 'network.multipliers=[1,2,2]');
    expect(trained.lines.join('\n')).toMatch(/reconstructing sources and targets: 16 images to train on, 4 held out[^]*PSNR [\d.]+ dB, SSIM -?[\d.]+ on 4 held-out images \(mean image: /);
    expect(trained.lines.join('\n')).not.toContain('copy');
    const { latent_channels: channels, scaling_factor: factor } = await json(trained.folder, 'autoencoder', 'config.json');
    expect([channels, Number.isFinite(factor)]).toEqual([4, true]);

    const inLatents = [...small, '--set', 'network.multipliers=[1,2]', '--set', `latent.autoencoder=${join(out, 'vae', 'latest')}`];
    const { folder } = await run(flow, ...inLatents, '--steps', '4');
    const { latent } = (await json(folder, 'config.resolved.json'))['config'] as unknown as { latent: Record<string, unknown> };
    expect(latent).toMatchObject({ autoencoder: join(trained.folder, 'autoencoder'), factor: 4, checksum: expect.stringMatching(/^[0-9a-f]{64}$/) });
    // The frozen autoencoder is not saved again, and a later run of vae does not take its place.
    expect((await readdir(join(folder, 'checkpoints', 'checkpoint-4'))).filter((name) => /latent|space|auto/.test(name))).toEqual([]);
    await run(vae, ...small, '--steps', '1', '--set', 'network.multipliers=[1,2]');
    expect((await run(flow, '--resume', folder, '--steps', '6')).lines.join('\n')).toContain('resuming at step 4');

    await writeFile(join(trained.folder, 'autoencoder', 'diffusion_pytorch_model.safetensors'), 'other');
    await expect(run(flow, '--resume', folder, '--steps', '8')).rejects.toThrow('expected the autoencoder that this run was trained with');
    await rm(join(trained.folder, 'autoencoder'), { recursive: true });
    await expect(run(flow, '--resume', folder, '--steps', '8')).rejects.toThrow('expected an autoencoder (a run that trained one, or a folder with config.json and weights) but found nothing');
  }), 120_000);

  it('takes architecture and weights from a folder of diffusers, and leaves latents as they were when the decoder alone is trained', leakFree(async () => {
    const first = await run(vae, ...small, '--steps', '1', '--set', 'network.multipliers=[1,2]', '--set', 'network.channels=3');
    const folder = join(out, 'folder');
    await cp(join(first.folder, 'autoencoder'), folder, { recursive: true });
    const second = await run(vae, ...small, '--steps', '3', '--init', folder, '--set', 'network.train=decoder', '--set', 'network.scaling=keep');
    expect(second.lines.join('\n')).toMatch(/vae: (\d+) of \1 parameters taken over/);
    const [given, kept] = [await json(folder, 'config.json'), await json(second.folder, 'autoencoder', 'config.json')];
    expect(kept).toEqual(given);
    const weights = async (path: string) => {
      const bytes = await readFile(join(path, 'diffusion_pytorch_model.safetensors'));
      const header = Number(bytes.readBigUInt64LE(0));
      const entries = JSON.parse(bytes.toString('utf8', 8, 8 + header)) as Record<string, { data_offsets: [number, number] }>;
      return (name: string) => bytes.subarray(...(entries[name]?.data_offsets.map((at) => at + 8 + header) as [number, number]));
    };
    const [before, after] = [await weights(folder), await weights(join(second.folder, 'autoencoder'))];
    expect(after('encoder.conv_in.weight')).toEqual(before('encoder.conv_in.weight'));
    expect(after('quant_conv.weight')).toEqual(before('quant_conv.weight'));
    expect(after('decoder.conv_in.weight')).not.toEqual(before('decoder.conv_in.weight'));
  }), 60_000);
});
