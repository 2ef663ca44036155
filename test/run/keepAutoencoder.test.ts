import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fixtures } from '../../fixtures/index.ts';
import { scanDataset } from '../../src/data/scan.ts';
import { sgd } from '../../src/optim/sgd.ts';
import { makeNet } from '../../src/models/net.ts';
import { smallAutoencoder, vae } from '../../src/models/vae.ts';
import { openStateDict } from '../../src/models/weights/openWeights.ts';
import { seeded } from '../../src/random.ts';
import { keepAutoencoder, latentStatistics, scalingFields } from '../../src/run/keepAutoencoder.ts';
import { free } from '../../src/streams/scoped.ts';
import { leakFree } from '../support.ts';
import { right, withRun } from './support.ts';

describe('latentStatistics', () => {
  it('has mean and deviation of each channel over all images', () => {
    // Channel 0: 1, 3, 5; channel 1: 2, 2, 2.
    const { mean, std } = latentStatistics([Float32Array.of(1, 2, 3, 2), Float32Array.of(5, 2)], 2);
    expect(mean).toEqual([3, 2]);
    expect(std[0]).toBeCloseTo(Math.sqrt(8 / 3), 9);
    expect(std[1]).toBe(0);
  });
});

describe('scalingFields', () => {
  const measured = { mean: [3, 1], std: [2, 1] };
  it('makes one factor of all channels, one of each, or none', () => {
    // About the common mean 2, variances are 4 + 1 and 1 + 1.
    expect(scalingFields(measured, 'one')).toEqual({ scaling_factor: 1 / Math.sqrt(3.5), shift_factor: 2 });
    expect(scalingFields(measured, 'channels')).toEqual({ scaling_factor: 1, latents_mean: [3, 1], latents_std: [2, 1] });
    expect(scalingFields(measured, 'keep')).toEqual({});
  });
});

describe('keepAutoencoder', () => {
  it('leaves averaged weights and a configuration that brings latents to unit variance', leakFree(withRun(async (folder) => {
    const dataset = await right(scanDataset(fixtures.tiny.root));
    const network = vae({ model: smallAutoencoder({ base: 4, multipliers: [1, 2], depth: 1, channels: 2, groups: 2, attention: false }), codebook: { size: 4, parts: 1 } });
    const net = makeNet(network, { key: seeded(0), optimizer: sgd(), shadow: true });
    const lines: string[] = [];
    const run = { folder, dataset, skippedFiles: { count: 0, add: () => {} }, report: { line: (text: string) => { lines.push(text); }, bar: () => {} } };
    await keepAutoencoder(run, net, network.autoencoder, { size: 16, batch: 3, scaling: 'one' });
    free({ net });
    const config = JSON.parse(await readFile(join(folder.path, 'autoencoder', 'config.json'), 'utf8')) as { scaling_factor: number; shift_factor: number };
    expect(config).toMatchObject({ _class_name: 'AutoencoderKL', block_out_channels: [4, 8], latent_channels: 2 });
    expect(config.scaling_factor).toBeGreaterThan(0.5);
    const state = await right(openStateDict(join(folder.path, 'autoencoder')));
    expect(Object.keys(state).sort()).toEqual([...network.autoencoder.specs.keys()].sort());
    expect(lines).toEqual([expect.stringMatching(/latents of 8 images have deviation .*--set latent\.autoencoder=/)]);
  })));
});
