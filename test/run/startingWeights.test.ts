import * as E from 'fp-ts/lib/Either.js';
import { afterEach, describe, expect, it } from 'vitest';
import { constant } from '../../src/models/init.ts';
import { type Net, type StateDict, makeNet } from '../../src/models/net.ts';
import { buildNetwork } from '../../src/models/network.ts';
import { smallAutoencoder, vae } from '../../src/models/vae.ts';
import { seeded } from '../../src/random.ts';
import { type FoundWeights, fitWeights } from '../../src/run/startingWeights.ts';
import { free } from '../../src/streams/scoped.ts';

let made: Record<string, Net> = {};
afterEach(() => { free(made); made = {}; });

/** Nets of convolutions: name to parameter shapes. */
const nets = (shapes: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>): Record<string, Net> => {
  made = Object.fromEntries(Object.entries(shapes).map(([name, params]) => [name, makeNet(buildNetwork(name, {}, (root) => {
    for (const [param, shape] of Object.entries(params)) root.param(param, shape, constant(0));
    return () => 0;
  }), { key: seeded(0) }) as unknown as Net]));
  return made;
};
const values = (shape: readonly number[]): StateDict[string] => ({ shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i + 1) });
const fit = (live: Record<string, Net>, found: FoundWeights): Readonly<{ given: Readonly<Record<string, StateDict>>; lines: readonly string[] }> => {
  const result = fitWeights(live, found);
  if (E.isLeft(result)) throw result.left;
  return result.right;
};

describe('fitWeights', () => {
  it('takes what agrees in name and shape, net by net', () => {
    const live = nets({ generator: { a: [2], b: [3] }, critic: { a: [2] } });
    const { given, lines } = fit(live, { path: 'run', nets: { generator: { a: values([2]), b: values([4]), c: values([1]) }, critic: { a: values([2]) } } });
    expect(given).toEqual({ generator: { a: values([2]) }, critic: { a: values([2]) } });
    expect(lines).toEqual(['weights from run', '  generator: 1 of 2 parameters taken over, 1 begin afresh (b), 1 in the file are not used (c)', '  critic: 1 of 1 parameters taken over']);
  });

  it('knows an autoencoder by the names of latent diffusion', () => {
    const network = vae({ model: smallAutoencoder({ base: 4, multipliers: [1], depth: 1, channels: 2, groups: 2, attention: false }) });
    made = { vae: makeNet(network, { key: seeded(0) }) as unknown as Net };
    const { given, lines } = fit(made, { path: 'sd.safetensors', file: { 'first_stage_model.encoder.down.0.block.0.conv1.weight': values([4, 4, 3, 3]), 'first_stage_model.encoder.conv_in.bias': values([4]), 'model.other': values([1]) } });
    expect(Object.keys(given['vae'] ?? {}).sort()).toEqual(['encoder.conv_in.bias', 'encoder.down_blocks.0.resnets.0.conv1.weight']);
    expect(lines[1]).toMatch(/^ {2}vae: 2 of \d+ parameters taken over, \d+ begin afresh/);
  });

  it('lets new input channels of a layer start at zero', () => {
    // Two filters of 2 x 1 x 2 become filters of 3 x 1 x 2.
    const { given, lines } = fit(nets({ generator: { w: [2, 3, 1, 2] } }), { path: 'run', nets: { generator: { w: values([2, 2, 1, 2]) } } });
    expect([...given['generator']?.['w']?.data ?? []]).toEqual([1, 2, 3, 4, 0, 0, 5, 6, 7, 8, 0, 0]);
    expect(lines[1]).toBe('  generator: 1 of 1 parameters taken over, 1 with new input channels at zero (w)');
  });

  it('does not widen outputs, nor narrow anything', () => {
    const live = nets({ generator: { w: [2, 2, 1, 1] } });
    for (const shape of [[1, 2, 1, 1], [2, 3, 1, 1], [2, 1, 3, 1], [4]]) {
      expect(E.isLeft(fitWeights(live, { path: 'run', nets: { generator: { w: values(shape) } } }))).toBe(true);
    }
  });

  it('gives a lone file to the net that finds most of its own in it', () => {
    const live = nets({ critic: { a: [2] }, generator: { a: [2], b: [3] } });
    expect(Object.keys(fit(live, { path: 'x.safetensors', file: { a: values([2]), b: values([3]) } }).given)).toEqual(['generator']);
  });

  it('refuses weights of which nothing fits', () => {
    const result = fitWeights(nets({ generator: { a: [2] } }), { path: 'x.safetensors', file: { z: values([2]) } });
    expect(E.isLeft(result) && result.left.message).toBe('x.safetensors: expected weights of generator but no name and shape agrees (it has z)');
  });
});
