import { describe, expect, it } from 'vitest';
import { translateBy } from '../../../src/models/translateBy.ts';
import { fold, seeded, uniform } from '../../../src/random.ts';
import { ddpm, vpScheduleNamed } from '../../../src/schedules/processes/ddpm.ts';
import { flow } from '../../../src/schedules/processes/flow.ts';
import { i2sb } from '../../../src/schedules/processes/i2sb.ts';
import { lbm } from '../../../src/schedules/processes/lbm.ts';
import { type Mixture, type Process, minSnrWeight } from '../../../src/schedules/processes/process.ts';
import { rectified } from '../../../src/schedules/processes/rectified.ts';
import { regression } from '../../../src/schedules/processes/regression.ts';
import { rddm, resShift } from '../../../src/schedules/processes/residual.ts';
import * as tf from '../../../src/tf.ts';
import { leakFree } from '../../support.ts';

const all: readonly (readonly [string, Process, readonly number[]])[] = [
  ['ddpm, v, cosine', ddpm({ steps: 200 }), [1, 2, 8]],
  ['ddpm, eps, linear', ddpm({ schedule: 'linear', prediction: 'epsilon', steps: 200 }), [1, 5]],
  ['ddpm, x0, scaled linear, ancestral', ddpm({ schedule: 'scaledLinear', prediction: 'sample', sampler: 'ddpm', steps: 100 }), [1, 4]],
  ['ddpm, v, zero terminal SNR, dpm-solver++', ddpm({ schedule: 'zeroTerminalSnr', sampler: 'dpmpp', steps: 100 }), [1, 4]],
  ['flow from noise', flow(), [1, 4]],
  ['flow from noise, shifted, heun', flow({ shift: 3, sampler: 'heun' }), [1, 5]],
  ['flow from the source', flow({ from: 'source' }), [1, 4]],
  ['rectified, U-shaped times', rectified({ times: 'uShaped' }), [1, 4]],
  ['rectified, from the source, for two calls', rectified({ from: 'source', times: 'calls', calls: 2 }), [1, 2]],
  ['lbm', lbm(), [1, 4]],
  ['i2sb', i2sb({ steps: 100 }), [1, 2, 10]],
  ['i2sb, deterministic', i2sb({ steps: 100, betaMax: 1, otOde: true }), [1, 5]],
  ['resShift', resShift(), [4]],
  ['resShift, latent', resShift({ steps: 15, space: 'latent', kappa: 1 }), [15]],
  ['rddm', rddm({ steps: 100 }), [1, 5]],
  ['regression', regression(), [1]],
];
const times = [0, 0.1, 0.37, 0.5, 0.81, 0.999];

describe.each(all)('%s', (_name, process, calls) => {
  it('estimates the target exactly from a right answer, wherever it is drawn', () => {
    for (const u of times) {
      const { noisy, goal, estimate } = process.draw(u);
      const sum = (part: keyof Mixture): number => estimate.x * noisy[part] + estimate.output * goal[part];
      expect(sum('target')).toBeCloseTo(1, 4);
      expect(sum('source') + estimate.source).toBeCloseTo(0, 4);
      // A bridge whose network answers source - target leaves its own noise in the estimate, as its reference does.
      const left = process.name === 'lbm' || (process.name === 'flow' && goal.source === 1) ? noisy.eps : 0;
      expect(sum('eps')).toBeCloseTo(left, 4);
    }
  });

  it('tells the network times it also meets when sampled, of the same meaning', () => {
    for (const n of calls) {
      const { recipe, calls: told } = process.sample(n);
      expect(told).toHaveLength(n);
      expect(recipe.steps).toHaveLength(n);
      for (const { t } of told) { expect(t).toBeGreaterThanOrEqual(0); expect(t).toBeLessThanOrEqual(1000); }
    }
  });

  it('reaches the target with a network that knows it', leakFree(async () => {
    for (const n of calls) {
      const target = tf.tensor4d([0.3, -0.7], [1, 1, 2, 1]);
      const source = tf.tensor4d([-0.2, 0.9], [1, 1, 2, 1]);
      let call = 0;
      const { calls: told, recipe } = process.sample(n);
      const result = tf.tidy(() => translateBy(process, (input) => {
        const { estimate: { x, output, source: share } } = told[call]!;
        const state = tf.div(input, recipe.steps[call]!.inputScale);
        call++;
        return tf.div(tf.sub(tf.sub(target, tf.mul(state, x)), tf.mul(source, share)), output);
      }, source, { calls: n, keys: [fold(seeded(1), 'image')] }));
      const [a, b] = await result.data();
      tf.dispose([target, source, result]);
      // I2SB keeps a little of the state at its last step, as its reference does.
      const close = process.name === 'i2sb' ? 1 : 3;
      expect(a).toBeCloseTo(0.3, close);
      expect(b).toBeCloseTo(-0.7, close);
    }
  }));
});

describe('draws', () => {
  it('cover their times evenly', () => {
    const us = uniform(seeded(3), 4000);
    const shares = (process: Process): Map<number, number> => us.reduce((counts, u) => { const { t } = process.draw(u); return counts.set(t, (counts.get(t) ?? 0) + 1 / us.length); }, new Map<number, number>());
    for (const share of shares(lbm()).values()) expect(share).toBeCloseTo(0.25, 1);
    const weighted = shares(lbm({ times: [0.25, 0.5, 0.75, 1], shares: [0.05, 0.1, 0.05, 0.8] }));
    expect(weighted.get(1000)).toBeCloseTo(0.8, 1);
    expect(shares(resShift()).size).toBe(4);
  });

  it('trains a distilled flow at the times its sampler meets, and no others', () => {
    for (const calls of [1, 2, 4]) {
      const process = rectified({ times: 'calls', calls });
      const met = process.sample(calls).calls.map(({ t }) => t);
      expect([...new Set(times.map((u) => process.draw(u).t))].sort((a, b) => b - a)).toEqual(met.filter((t) => times.some((u) => process.draw(u).t === t)));
      expect(new Set(met).size).toBe(calls);
    }
    expect(times.map((u) => rectified({ times: 'calls' }).draw(u).t)).toEqual(times.map(() => 1000));
    expect(() => rectified({ calls: 0 })).toThrow('rectified: expected calls to be a positive integer but received 0');
  });

  it('meets the numbers of the papers', () => {
    expect(lbm().draw(0.99).noisy).toEqual({ target: 0, source: 1, eps: 0 });
    expect(lbm().draw(0).noisy.eps).toBeCloseTo(0.0021651, 7);
    const bridge = i2sb({ steps: 1000 });
    expect(bridge.draw(0).noisy.target).toBeCloseTo(0.9992914, 6);
    expect(bridge.draw(0.9999).noisy.source).toBeCloseTo(0.9992914, 6);
    expect(1 / bridge.draw(0.9999).goal.source * bridge.draw(0.9999).noisy.source).toBeCloseTo(0.375536, 5);
    expect(resShift().draw(0.3).noisy.source).toBeCloseTo(0.5201 ** 2, 4);
    expect(vpScheduleNamed('linear', 1000).alphasCumprod[499]).toBeCloseTo(0.078587, 5);
    expect(vpScheduleNamed('zeroTerminalSnr', 200).alphasCumprod[199]).toBe(0);
  });
});

describe('minSnrWeight', () => {
  it('is one loss on x0 for every prediction', () => {
    for (const u of times) {
      const weights = (['sample', 'epsilon', 'v_prediction'] as const).map((prediction) => {
        const draw = ddpm({ schedule: 'linear', prediction, steps: 1000 }).draw(u);
        return [minSnrWeight(draw, 5), minSnrWeight(draw, 5) / draw.estimate.output ** 2];
      });
      for (const [, onX0] of weights) expect(onX0).toBeCloseTo(weights[0]![1]!, 4);
    }
  });

  it('equals the card: eps weight min(1, gamma / SNR), v weight at most gamma / (gamma + 1)', () => {
    const eps = ddpm({ schedule: 'linear', prediction: 'epsilon', steps: 1000 });
    for (let n = 130; n < 1000; n += 97) expect(minSnrWeight(eps.draw((n + 0.5) / 1000), 5)).toBeCloseTo(1, 5);
    expect(minSnrWeight(eps.draw(129.5 / 1000), 5)).toBeLessThan(1);
    const v = ddpm({ schedule: 'linear', steps: 1000 });
    const highest = Math.max(...Array.from({ length: 1000 }, (_, n) => minSnrWeight(v.draw((n + 0.5) / 1000), 5)));
    expect(highest).toBeLessThan(5 / 6 + 1e-9);
    expect(highest).toBeGreaterThan(0.82);
  });
});

describe('misuse', () => {
  it.each([
    ['epsilon where no signal is left', () => ddpm({ schedule: 'zeroTerminalSnr', prediction: 'epsilon' }), /whose last step has no signal/],
    ['negative bridge noise', () => lbm({ noise: -1 }), /expected noise to be at least 0 but received -1/],
    ['times outside the bridge', () => lbm({ times: [0, 1] }), /expected times in \(0, 1\]/],
    ['shares that do not fit', () => lbm({ times: [1], shares: [0.5, 0.5] }), /expected 1 shares/],
    ['more calls than trained times', () => lbm().sample(5), /expected steps in 1\.\.4 but received 5/],
    ['steps it was not trained on', () => resShift().sample(3), /expected the 4 steps it was trained on but received 3/],
    ['an even number of heun calls', () => flow({ sampler: 'heun' }).sample(4), /expected an odd number of calls/],
    ['no calls', () => flow().sample(0), /expected steps in 1\.\.Infinity but received 0/],
  ])('refuses %s', (_what, act, message) => { expect(act).toThrow(message); });
});
