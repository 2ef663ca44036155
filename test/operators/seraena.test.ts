import { concatMap, firstValueFrom, from, lastValueFrom, map, of, toArray } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { averagePool } from '../../src/losses/pool.ts';
import { seraenaCorrection, seraenaLoss } from '../../src/losses/seraena.ts';
import { type Net, makeNet } from '../../src/models/net.ts';
import { countParams } from '../../src/models/network.ts';
import { type ReplayBuffer, replayBuffer } from '../../src/models/replayBuffer.ts';
import { seraenaCritic } from '../../src/models/seraena.ts';
import { seraena } from '../../src/operators/seraena.ts';
import { adamw } from '../../src/optim/adamw.ts';
import { fold, normal, seeded } from '../../src/random.ts';
import type { Batch } from '../../src/streams/frames.ts';
import { release } from '../../src/streams/mapTensors.ts';
import { free } from '../../src/streams/scoped.ts';
import * as tf from '../../src/tf.ts';
import { batchAt, leakFree } from '../support.ts';
import { keepsTheContract } from './contract.ts';

const noise = (name: string, step: number, shape: [number, number, number, number], mean = 0): tf.Tensor4D =>
  tf.tensor4d(normal(fold(seeded(9), name, step), tf.util.sizeFromShape(shape)).map((x) => 0.3 * x + mean), shape);
const load = (batch: Batch) => ({ ...batch, real: noise('real', batch.step, [2, 16, 16, 3], 0.4), fake: noise('fake', batch.step, [2, 16, 16, 3], -0.4), context: noise('context', batch.step, [2, 4, 4, 2]) });
type Loaded = ReturnType<typeof load>;
const made = () => ({
  critic: makeNet(seraenaCritic({ context: 2, widths: [4, 6, 8, 8], strides: [1, 2, 2, 2] }), { key: seeded(1), optimizer: adamw({ beta2: 0.99 }), lr: () => 3e-3 }),
  buffer: replayBuffer({ capacity: 6, shapes: { fake: [16, 16, 3], context: [4, 4, 2] } }),
});
const options = { key: seeded(3) };
const read = ({ real, fake, context }: Loaded) => ({ real, fake, context });

describe('seraena', () => {
  describe('as an operator', () => {
    let resources: { critic: Net<[tf.Tensor4D, tf.Tensor4D], tf.Tensor4D>; buffer: ReplayBuffer<'fake' | 'context'> };
    beforeAll(() => { resources = made(); });
    afterAll(() => { free(resources); });
    keepsTheContract(() => seraena<Loaded>(resources.critic, resources.buffer, read, options), load);
  });

  it('learns to tell the two apart, and corrects towards the real ones', leakFree(async () => {
    const { critic, buffer } = made();
    const eight = (batch: Batch) => ({ ...batch, real: noise('real', batch.step, [8, 16, 16, 3], 0.4), fake: noise('fake', batch.step, [8, 16, 16, 3], -0.4), context: noise('context', batch.step, [8, 4, 4, 2]) });
    const rows = await lastValueFrom(from(Array.from({ length: 24 }, (_, i) => batchAt(i))).pipe(map(eight), concatMap(async (frame) => {
      const next = await firstValueFrom(of(frame).pipe(seraena(critic, buffer, read, options)));
      const values = tf.tidy(() => tf.stack([next.metrics['critic.loss']!, next.metrics['critic.correction']!, tf.mean(tf.sub(next.corrected, next.fake))]));
      release(next);
      const [loss, deviation, along] = await values.data() as unknown as [number, number, number];
      values.dispose();
      return { loss, deviation, along };
    }), toArray()));
    expect(rows[0]!.loss).toBeGreaterThan(0.7);
    expect(rows.slice(-8).reduce((sum, { loss }) => sum + loss, 0) / 8).toBeLessThan(0.6);
    // Real images are brighter; the correction is of at most unit scale.
    expect(rows.slice(-5).every(({ along }) => along > 0.1)).toBe(true);
    expect(rows.every(({ deviation }) => deviation >= 0 && deviation < 1)).toBe(true);
    expect(rows.at(-1)!.deviation).toBeGreaterThan(0.9);
    free({ critic, buffer });
  }));

  it('continues exactly from its variables', leakFree(async () => {
    const run = async (resources: ReturnType<typeof made>, start: number, end: number): Promise<void> => {
      for (let i = start; i < end; i++) {
        release(await firstValueFrom(of(batchAt(i)).pipe(map(load), seraena(resources.critic, resources.buffer, read, options))));
        await tf.flush();
      }
    };
    const [whole, first, second] = [made(), made(), made()];
    await run(whole, 0, 6);
    await run(first, 0, 4);
    for (const part of ['critic', 'buffer'] as const) for (const [name, variable] of Object.entries(second[part].variables)) variable.assign(first[part].variables[name]!);
    await run(second, 4, 6);
    expect(await second.critic.weights.data()).toEqual(await whole.critic.weights.data());
    expect(await second.critic.frozen!.data()).toEqual(await whole.critic.frozen!.data());
    for (const { critic, buffer } of [whole, first, second]) free({ critic, buffer });
  }));

  it('wants a critic with an optimizer and even batches', leakFree(() => {
    const critic = makeNet(seraenaCritic({ context: 2, widths: [2], strides: [1] }), { key: seeded(1) });
    const { critic: live, buffer } = made();
    expect(() => seraena<Loaded>(critic, buffer, read, options)).toThrow('seraena: expected critic to have an optimizer but it has none');
    let failure: unknown;
    of(batchAt(0)).pipe(map((batch) => ({ ...batch, real: tf.zeros<tf.Rank.R4>([3, 16, 16, 3]), fake: tf.zeros<tf.Rank.R4>([3, 16, 16, 3]), context: tf.zeros<tf.Rank.R4>([3, 4, 4, 2]) })),
      seraena(live, buffer, read, options)).subscribe({ error: (error: unknown) => { failure = error; } });
    expect(String(failure)).toContain('expected an even number of images a batch but received 3');
    free({ critic, live, buffer });
  }));
});

describe('the correction', () => {
  const numbers = async (f: () => tf.Tensor): Promise<number[]> => { const x = tf.tidy(f); const data = [...await x.data()]; x.dispose(); return data; };
  // D(x) = mean of x over 2 x 2 squares of each channel-summed image.
  const critic = (x: tf.Tensor4D): tf.Tensor4D => averagePool(tf.sum(x, 3, true) as tf.Tensor4D, 2);

  it('is 0 for equal images and under a critic that sees nothing', leakFree(async () => {
    expect((await numbers(() => seraenaCorrection(critic, noise('a', 0, [2, 4, 4, 3]), noise('a', 0, [2, 4, 4, 3])))).every((x) => x === 0)).toBe(true);
    expect((await numbers(() => seraenaCorrection((x) => tf.mul(critic(x), 0), noise('a', 0, [2, 4, 4, 3]), noise('b', 0, [2, 4, 4, 3])))).every((x) => x === 0)).toBe(true);
  }));

  it('has the deviation q / (q + eps)', leakFree(async () => {
    const q = async (eps: number): Promise<number> => {
      const c = await numbers(() => seraenaCorrection(critic, noise('a', 0, [2, 4, 4, 3]), noise('b', 0, [2, 4, 4, 3]), { eps }));
      const mean = c.reduce((a, b) => a + b, 0) / c.length;
      return Math.sqrt(c.reduce((a, b) => a + (b - mean) ** 2, 0) / c.length);
    };
    expect(await q(1e-12)).toBeCloseTo(1, 5);
    const half = await q(1e-2);
    const raw = (1e-2 * half) / (1 - half);
    expect(await q(raw)).toBeCloseTo(0.5, 4);
  }));

  it('comes from a critic whose loss is 1 at zero scores and 0 at its targets', leakFree(async () => {
    expect(await numbers(() => seraenaLoss(tf.zeros([2, 2, 2, 6]), tf.tensor1d([0, 1])))).toEqual([1]);
    expect(await numbers(() => seraenaLoss(tf.concat([tf.fill([1, 2, 2, 6], -1), tf.ones([1, 2, 2, 6])], 0) as tf.Tensor4D, tf.tensor1d([0, 1])))).toEqual([0]);
  }));

  it('has the published network', () => {
    expect(countParams(seraenaCritic())).toBe(7_481_088);
    expect(() => seraenaCritic({ strides: [1] })).toThrow(RangeError);
    expect(() => seraenaCritic({ widths: [2], strides: [3] })).toThrow('seraenaCritic: expected strides of 1 or 2 but received 3');
  });
});
