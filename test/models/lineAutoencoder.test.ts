import { from, lastValueFrom, map } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { identity } from '../../src/models/codec.ts';
import { latentVelocity, lineAutoencoder, lineTranslator } from '../../src/models/lineAutoencoder.ts';
import { applyNet, makeNet, paramsOf } from '../../src/models/net.ts';
import { alignLatents, successors } from '../../src/operators/alignLatents.ts';
import { adam } from '../../src/optim/adam.ts';
import { fold, normal, seeded } from '../../src/random.ts';
import { measureArm } from '../../src/run/straightLine/measureArm.ts';
import type { Batch } from '../../src/streams/frames.ts';
import { free } from '../../src/streams/scoped.ts';
import * as tf from '../../src/tf.ts';
import { keepsTheContract } from '../operators/contract.ts';
import { readMetrics } from '../operators/line.ts';
import { batchAt, leakFree } from '../support.ts';

type Image = tf.Tensor4D;
const key = seeded(4);
const size = { channels: 3, size: 8, base: 6, strides: 2, latent: 2 };
const autoencoder = lineAutoencoder('line', size);
const make = () => ({
  line: makeNet(autoencoder, { key, optimizer: adam(), lr: () => 3e-3, shadow: true }),
  lineFlow: makeNet(latentVelocity('lineFlow', { channels: 2, width: 8 }), { key, optimizer: adam(), lr: () => 3e-3, shadow: true }),
});
type Nets = ReturnType<typeof make>;
const withNets = async (test: (nets: Nets) => Promise<void>): Promise<void> => {
  const nets = make();
  try { await test(nets); } finally { free(nets); }
};
const images = (name: string, count = 4): Image => tf.tensor4d(normal(fold(key, name), count * 192).map((x) => Math.tanh(x)), [count, 8, 8, 3]);
const load = (batch: Batch) => ({ ...batch, sourceLatent: images('source'), targetLatent: images('target') });
const options = { kind: 'shift', line: 1, collapse: 1, cross: 1, noise: 1, clip: 1, key } as const;
const step = async ({ line, lineFlow }: Nets, at: number, given: Partial<Parameters<typeof alignLatents>[1]> = {}, shuffled = false): Promise<Record<string, number>> =>
  readMetrics(await lastValueFrom(from([batchAt(at, ['a', 'b', 'c', 'd'])]).pipe(map(load), alignLatents({ net: line, flow: lineFlow, autoencoder, shuffled }, { ...options, ...given }))));
const valuesOf = async (f: () => tf.Tensor): Promise<number[]> => { const made = tf.tidy(f); try { return [...await made.data()]; } finally { made.dispose(); } };
const setShift = (line: Nets['line'], value: number): void => {
  // The shift is the only parameter that no optimizer moves.
  tf.tidy(() => { line.frozen?.assign(tf.fill(line.frozen.shape, value)); });
};

describe('lineAutoencoder', () => {
  it('translates by adding its shift to the latent, and repeats the shift over larger ones', leakFree(() => withNets(async ({ line }) => {
    setShift(line, 0.5);
    for (const side of [8, 12, 24]) {
      const [made, expected] = [() => applyNet(line)(tf.fill([1, side, side, 3], 0.3)), () => {
        const params = paramsOf(line);
        return autoencoder.decode(params, tf.add(autoencoder.encode(params, tf.fill([1, side, side, 3], 0.3)), 0.5));
      }];
      expect(await valuesOf(made)).toEqual(await valuesOf(expected));
    }
  })));

  it('refuses a size that does not halve', () => { expect(() => lineAutoencoder('line', { ...size, size: 10 })).toThrow('lineAutoencoder: expected a size that is a multiple of 4 but received 10'); });
});

describe('lineTranslator', () => {
  it('goes by the shift, or by one step of the velocity', leakFree(() => withNets(async (nets) => {
    setShift(nets.line, 0.5);
    const [shift, flow] = (['shift', 'flow'] as const).map((kind) => () => lineTranslator(identity, autoencoder, nets, kind)(images('source')));
    expect(await valuesOf(shift!)).toEqual(await valuesOf(() => applyNet(nets.line)(images('source'))));
    expect(await valuesOf(flow!)).toEqual(await valuesOf(() => {
      const params = paramsOf(nets.line);
      const a = autoencoder.encode(params, images('source'));
      return autoencoder.decode(params, tf.add(a, applyNet(nets.lineFlow)(a, tf.ones([4]))));
    }));
  })));
});

describe('alignLatents', () => {
  describe('as an operator', () => {
    let nets: Nets;
    beforeAll(() => { nets = make(); });
    afterAll(() => { free(nets); });
    keepsTheContract(() => alignLatents<ReturnType<typeof load>>({ net: nets.line, flow: nets.lineFlow, autoencoder }, options), load);
  });

  it('follows the mean displacement of its latents', leakFree(() => withNets(async (nets) => {
    const displacement = await valuesOf(() => {
      const params = paramsOf(nets.line);
      return tf.mean(tf.sub(autoencoder.encode(params, images('target')), autoencoder.encode(params, images('source'))), 0);
    });
    await step(nets, 0);
    const shift = await valuesOf(() => tf.clone(autoencoder.shift(paramsOf(nets.line))));
    shift.forEach((value, i) => expect(value).toBeCloseTo(0.01 * displacement[i]!, 6));
  })));

  it('leaves out terms of weight 0, and learns', leakFree(() => withNets(async (nets) => {
    const first = await step(nets, 0, { line: 0, cross: 0 });
    expect(Object.keys(first).filter((name) => name.startsWith('line.')).sort()).toEqual(['line.collapse', 'line.finite', 'line.gradNorm', 'line.loss', 'line.source', 'line.target']);
    let last = first;
    for (let at = 1; at < 12; at++) last = await step(nets, at, { line: 0, cross: 0 });
    expect(last['line.loss']).toBeLessThan(first['line.loss']!);
  })));

  it.each(['shift', 'direction', 'flow', 'oneLine'] as const)('brings latents nearer to what %s asks for', (kind) => leakFree(() => withNets(async (nets) => {
    const asked: number[] = [];
    for (let at = 0; at < 16; at++) asked.push((await step(nets, at, { kind, line: 10, cross: 0 }))['line.line']!);
    const mean = (some: readonly number[]): number => some.reduce((a, b) => a + b, 0) / some.length;
    expect(mean(asked.slice(-4))).toBeLessThan(mean(asked.slice(0, 4)));
    expect(asked.every(Number.isFinite)).toBe(true);
  }))(), 20_000);

  it('tears pairs apart for the control', leakFree(async () => {
    expect(await valuesOf(() => successors(tf.tensor4d([1, 2, 3], [3, 1, 1, 1])))).toEqual([2, 3, 1]);
    await withNets(async (nets) => {
      const [whole, torn] = [await step(nets, 0, { line: 0, collapse: 0 }), await withTorn()];
      expect(torn).not.toBeCloseTo(whole['line.cross']!, 6);
    });
    async function withTorn(): Promise<number> {
      let found = 0;
      await withNets(async (nets) => { found = (await step(nets, 0, { line: 0, collapse: 0 }, true))['line.cross']!; });
      return found;
    }
  }));
});

describe('measureArm', () => {
  it('finds an identity where source and target are the same', leakFree(() => withNets(async ({ line, lineFlow }) => {
    const pixels = (name: string): Float32Array => normal(fold(key, name), 192).map((x) => Math.tanh(x));
    const pairs = ['a', 'b', 'c'].map((id) => ({ id, source: pixels(id), target: pixels(id === 'c' ? 'd' : id) }));
    const found = await measureArm({ net: line, flow: lineFlow, autoencoder }, identity, pairs, [8, 8]);
    const { scores } = found;
    expect(found.rows.sources).toHaveLength(3);
    expect(found.rows.sources[0]).toHaveLength(8);
    // Two of three pairs do not move: their residual is minus the shift, which is 0 in a fresh network.
    expect(found.rows.residuals.slice(0, 2).flat().every((value) => value === 0)).toBe(true);
    expect(found.rows.residuals[2]!.some((value) => value !== 0)).toBe(true);
    expect(scores.shift).toBeCloseTo(scores.identity, 5);
    expect(scores.reconstruction).toBeGreaterThan(0);
    for (const value of [...Object.values(scores), found.straightness, found.crossing, ...Object.values(found.line)]) expect(Number.isFinite(value)).toBe(true);
  })));
});
