import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { countParams } from '../../src/models/network.ts';
import { taesd } from '../../src/models/taesd.ts';
import { builderOf } from '../../src/models/registry.ts';
import published from './published.json' with { type: 'json' };

/**
 * Full-size configurations of released models. Parameters, tensors and digest (the first 16 hex digits of the SHA-256 of sorted lines `name size,size,...` of the
 * state dict) are those of diffusers 0.35.2.
 */
type Published = Readonly<{ _class_name: string; config: Readonly<Record<string, unknown>>; parameters: number; tensors: number; digest: string }>;

describe('released models build as shapes, without allocating, under the reference\'s names', () => {
  it.each(Object.entries(published as unknown as Readonly<Record<string, Published>>))('%s', async (_name, { _class_name: className, config, parameters, tensors, digest }) => {
    const before = process.memoryUsage().arrayBuffers;
    const network = (await builderOf(className))?.(config);
    if (!network) throw new Error(`no builder of ${className}`);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 20);
    expect(network.specs.size).toBe(tensors);
    const byCodePoint = (a: string, b: string): number => (a < b ? -1 : 1);
    const lines = [...network.specs].map(([name, { shape }]) => [name, shape] as const).sort(([a], [b]) => byCodePoint(a, b)).map(([name, shape]) => `${name} ${shape.join(',')}`);
    expect(createHash('sha256').update(lines.join('\n')).digest('hex').slice(0, 16)).toBe(digest);
    // The reference counts the frequencies of Fourier embeddings, which nothing trains.
    const frequencies = network.specs.get('time_proj.weight')?.shape[0] ?? 0;
    expect(countParams(network) + frequencies).toBe(parameters);
  });

  it.each([['SD 1, SD 2, SD-Turbo', 4, 83_653_863], ['SD3', 16, 83_819_683]])('the VAE of %s has %i channels and %i parameters', (_what, channels, count) => {
    expect(Object.values(published as unknown as Readonly<Record<string, Published>>).some(({ config, parameters }) => (config['latent_channels'] ?? 4) === channels && parameters === count)).toBe(true);
  });

  it.each([['f8', 4, 1_222_532, 1_222_531], ['f8', 16, 1_229_456, 1_229_443], ['f8Pool', 32, 1_338_528, 1_338_499], ['f32', 32, 1_256_288, 8_301_763]] as const)('TAESD %s of %i channels', (variant, channels, encoder, decoder) => {
    const { specs } = taesd({ variant, channels });
    const half = (side: string): number => [...specs].filter(([name]) => name.startsWith(side)).reduce((sum, [, { shape }]) => sum + shape.reduce((product, n) => product * n, 1), 0);
    expect([half('encoder.'), half('decoder.')]).toEqual([encoder, decoder]);
  });
});
