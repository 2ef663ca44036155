import { concatMap, firstValueFrom, from, lastValueFrom, map, of, toArray } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hinge, relativisticPairing, wasserstein } from '../../src/losses/adversarial.ts';
import { judgedWithPenalties } from '../../src/losses/criticPenalties.ts';
import { logitAnchors } from '../../src/models/anchors.ts';
import { diffAugment } from '../../src/models/diffAugment.ts';
import { gaussian } from '../../src/models/init.ts';
import { type Net, makeNet } from '../../src/models/net.ts';
import { buildNetwork, param } from '../../src/models/network.ts';
import { patchCritic } from '../../src/models/patchCritic.ts';
import { adversary } from '../../src/operators/adversary.ts';
import { adam } from '../../src/optim/adam.ts';
import { sgd } from '../../src/optim/sgd.ts';
import { seeded } from '../../src/random.ts';
import type { Batch } from '../../src/streams/frames.ts';
import { release } from '../../src/streams/mapTensors.ts';
import { free } from '../../src/streams/scoped.ts';
import * as tf from '../../src/tf.ts';
import { image } from '../losses/differences.ts';
import { batchAt, leakFree } from '../support.ts';
import { keepsTheContract } from './contract.ts';

const key = seeded(6);
const load = (batch: Batch) => ({ ...batch, source: image(10 + batch.step, [2, 8, 8, 3]), target: image(20 + batch.step, [2, 8, 8, 3]), fake: image(30 + batch.step, [2, 8, 8, 3]) });
type Loaded = ReturnType<typeof load>;
const shown = ({ source, target, fake }: Loaded) => ({ real: target, fake, realCondition: source, fakeCondition: source });
const made = (conditionChannels = 3): Net<[tf.Tensor4D, tf.Tensor4D?], tf.Tensor4D> =>
  makeNet(patchCritic({ base: 2, layers: 1, norm: 'group', groups: 2, conditionChannels }), { key: seeded(1), optimizer: adam(), lr: () => 1e-3 });

/** D(x) = w . x, a critic whose every penalty is known. */
const linear = (lr = 1): Net<[tf.Tensor4D], tf.Tensor> => makeNet(buildNetwork('critic', {}, (root) => {
  const weight = root.param('weight', [12], gaussian(1));
  return (params, x: tf.Tensor4D) => tf.sum(tf.mul(tf.reshape(x, [-1, 12]), param(params, weight)), 1);
}), { key: seeded(2), optimizer: sgd(), lr: () => lr });
const small = (batch: Batch) => ({ ...batch, real: image(1 + 2 * batch.step, [2, 2, 2, 3]), fake: image(2 + 2 * batch.step, [2, 2, 2, 3]) });
const metricsOf = async (frame: { metrics: Readonly<Record<string, tf.Scalar>> }): Promise<Record<string, number>> =>
  Object.fromEntries(await Promise.all(Object.entries(frame.metrics).map(async ([name, value]) => [name, (await value.data())[0] as number] as const)));

describe('adversary', () => {
  describe('as an operator', () => {
    let critic: Net<[tf.Tensor4D, tf.Tensor4D?], tf.Tensor4D>;
    beforeAll(() => { critic = made(); });
    afterAll(() => { free({ critic }); });
    keepsTheContract(() => adversary<Loaded>(critic, shown, { loss: hinge, penalties: { r1: 1, sigma: 0.1 }, key }), load);
  });

  it('adds logits and reports unweighted terms', leakFree(async () => {
    const critic = made();
    const anchors = logitAnchors();
    const frame = await firstValueFrom(of(load(batchAt(0))).pipe(adversary<Loaded>(critic, shown, {
      loss: relativisticPairing, weight: 0.5, penalties: { r1: 2, r2: 4 }, lecam: { anchors, weight: 3 }, augment: (x, at) => diffAugment(x, ['color', 'translation', 'cutout'], at, { coloured: 3 }), clip: 1, key,
    })));
    expect(Object.keys(frame).sort()).toEqual(['epoch', 'fake', 'fakeLogits', 'ids', 'metrics', 'realLogits', 'source', 'step', 'target']);
    expect(frame.realLogits.shape).toEqual([2, 2, 2, 1]);
    const metrics = await metricsOf(frame);
    expect(Object.keys(metrics).sort()).toEqual(['critic.adversarial', 'critic.finite', 'critic.gradNorm', 'critic.lecam', 'critic.loss', 'critic.r1', 'critic.r2']);
    expect(metrics['critic.loss']).toBeCloseTo(0.5 * metrics['critic.adversarial']! + metrics['critic.r1']! + 2 * metrics['critic.r2']! + 3 * metrics['critic.lecam']!, 5);
    expect(metrics['critic.finite']).toBe(1);
    release(frame);
    free({ critic, anchors });
  }));

  it('moves a linear critic by its loss and both penalties, at the step\'s gamma', leakFree(async () => {
    const critic = linear();
    const before = [...await critic.weights.data()];
    const batch = small(batchAt(3));
    const [real, fake] = [[...await batch.real.data()], [...await batch.fake.data()]];
    const frame = await firstValueFrom(of(batch).pipe(adversary<typeof batch, never>(critic as never, ({ real, fake }) => ({ real, fake }), { loss: wasserstein, penalties: { r1: (step) => 0.1 * step, r2: 0.2 }, key })));
    release(frame);
    // d/dw: mean fake - mean real, and gamma w for each of gamma / 2 |w|^2.
    const after = await critic.weights.data();
    before.forEach((w, i) => { expect(after[i]).toBeCloseTo(w - ((fake[i]! + fake[i + 12]!) / 2 - (real[i]! + real[i + 12]!) / 2 + 0.5 * w), 4); });
    free({ critic });
  }));

  it('leaves the critic as it is until its first step', leakFree(async () => {
    const critic: Net<[tf.Tensor4D, tf.Tensor4D?], tf.Tensor4D> = made();
    const weights = async (): Promise<number[]> => [...await critic.weights.data()];
    const learn = adversary<Loaded>(critic, shown, { loss: hinge, from: 2, key });
    const kept = [await weights()];
    for (const step of [0, 1, 2]) {
      release(await firstValueFrom(of(load(batchAt(step))).pipe(learn)));
      kept.push(await weights());
    }
    expect(kept.slice(1, 3)).toEqual([kept[0], kept[0]]);
    expect(kept[3]).not.toEqual(kept[0]);
    free({ critic });
  }));

  it('regularises lazily, as strongly on the whole', leakFree(async () => {
    const critic = linear(0);
    const rows = await lastValueFrom(from([0, 1, 2, 3, 4].map((step) => batchAt(step))).pipe(map(small), adversary<ReturnType<typeof small>, never>(critic as never, ({ real, fake }) => ({ real, fake }), { loss: wasserstein, penalties: { r1: 2, every: 4 }, key }),
      concatMap(async (frame) => { const metrics = await metricsOf(frame); release(frame); return metrics; }), toArray()));
    expect(rows.map((row) => 'critic.r1' in row)).toEqual([true, false, false, false, true]);
    expect(rows[0]!['critic.loss']).toBeCloseTo(rows[0]!['critic.adversarial']! + 4 * rows[0]!['critic.r1']!, 3);
    expect(rows[1]!['critic.loss']).toBeCloseTo(rows[1]!['critic.adversarial']!, 5);
    free({ critic });
  }));

  it('says what is wrong with its options', leakFree(() => {
    const [critic, still] = [made(), makeNet(patchCritic({ base: 2, layers: 1 }), { key: seeded(1) })];
    const options = { loss: hinge, key };
    expect(() => adversary<Loaded>(still, shown, options)).toThrow('adversary: expected critic to have an optimizer but it has none');
    expect(() => adversary<Loaded>(critic, shown, { ...options, weight: NaN })).toThrow('adversary: expected weight to be a finite number but received NaN');
    expect(() => adversary<Loaded>(critic, shown, { ...options, from: -1 })).toThrow('adversary: expected from to be a step, 0 or more, but received -1');
    expect(() => adversary<Loaded>(critic, shown, { ...options, penalties: { r1: -1 } })).toThrow('penalties: expected r1 to be a non-negative number but received -1');
    expect(() => adversary<Loaded>(critic, shown, { ...options, penalties: { sigma: 0 } })).toThrow('penalties: expected sigma to be positive but received 0');
    expect(() => adversary<Loaded>(critic, shown, { ...options, penalties: { every: 0 } })).toThrow('penalties: expected every to be a positive integer but received 0');
    free({ critic, still });
  }));

  it('draws the noise of finite differences, and the places between, by step', leakFree(async () => {
    const at = async (step: number): Promise<number[]> => {
      const values = tf.tidy(() => {
        const critic = (x: tf.Tensor4D): tf.Tensor => tf.sum(tf.pow(x, 3), [1, 2, 3]);
        const { terms } = judgedWithPenalties({ onReal: critic, onFake: critic, real: image(1, [2, 4, 4, 3]), fake: image(2, [2, 4, 4, 3]) }, { r1: 2, r2: 2, sigma: 0.1, oneCentred: 10 }, step, seeded(step));
        return tf.stack(['r1', 'r2', 'oneCentred'].map((name) => terms[name]!.value));
      });
      const data = [...await values.data()];
      values.dispose();
      return data;
    };
    const [first, again, other] = [await at(1), await at(1), await at(2)];
    expect(first).toEqual(again);
    first.forEach((x, i) => { expect(x).not.toBe(other[i]); });
  }));
});
