import { describe, expect, it } from 'vitest';
import * as tf from '../../src/tf.ts';
import { type AdversarialLoss, adversarialLosses, hinge, meanDistance, smoothed } from '../../src/losses/adversarial.ts';
import { weighted } from '../../src/losses/objective.ts';
import { differsFromDifferences } from './differences.ts';

const scalar = async (f: () => tf.Scalar): Promise<number> => {
  const value = tf.tidy(f);
  const [number] = await value.data();
  value.dispose();
  return number as number;
};

const ln2 = Math.LN2;
const zero = (): { realLogits: tf.Tensor; fakeLogits: tf.Tensor } => ({ realLogits: tf.zeros([2, 3, 3, 1]), fakeLogits: tf.zeros([2, 3, 3, 1]) });
const given = (): { realLogits: tf.Tensor; fakeLogits: tf.Tensor } => ({ realLogits: tf.tensor1d([2, -0.5]), fakeLogits: tf.tensor1d([0.5, 1.5]) });
const f = (t: number): number => Math.log1p(Math.exp(t));
const half = (a: number, b: number): number => (a + b) / 2;

describe('adversarial losses', () => {
  it.each([
    ['nonSaturating', 2 * ln2, ln2], ['hinge', 2, 0], ['leastSquares', 1, 1], ['wasserstein', 0, 0], ['relativisticPairing', ln2, ln2],
    ['relativisticAverage', 2 * ln2, 2 * ln2], ['relativisticAverageLeastSquares', 2, 2], ['meanDistance', 1, 0], ['smoothed', 2 * ln2, ln2],
  ] as const)('%s has its known values at zero logits', async (name, critic, generator) => {
    const loss: AdversarialLoss = adversarialLosses[name];
    expect(await scalar(() => loss.critic(zero()))).toBeCloseTo(critic, 6);
    expect(await scalar(() => loss.generator(zero()))).toBeCloseTo(generator, 6);
  });

  it.each([
    ['nonSaturating', half(f(-2), f(0.5)) + half(f(0.5), f(1.5)), half(f(-0.5), f(-1.5))],
    ['hinge', half(0, 1.5) + half(1.5, 2.5), -1],
    ['leastSquares', half(1, 2.25) + half(0.25, 2.25), half(0.25, 0.25)],
    ['wasserstein', 1 - 0.75, -1],
    ['relativisticPairing', half(f(-1.5), f(2)), half(f(1.5), f(-2))],
    ['relativisticAverage', half(f(-1), f(1.5)) + half(f(-0.25), f(0.75)), half(f(0.25), f(-0.75)) + half(f(1), f(-1.5))],
    ['relativisticAverageLeastSquares', half(0, 6.25) + half(0.75 ** 2, 1.75 ** 2), half(1.25 ** 2, 0.25 ** 2) + half(4, 0.25)],
    ['meanDistance', half(1, 2.25) + half(0.25, 2.25), 0.25],
    ['smoothed', half(f(2) - 1.6, f(-0.5) + 0.4) + half(f(0.5), f(1.5)), half(f(0.5) - 0.4, f(1.5) - 1.2)],
  ] as const)('%s equals what is computed by hand', async (name, critic, generator) => {
    const loss: AdversarialLoss = adversarialLosses[name];
    expect(await scalar(() => loss.critic(given()))).toBeCloseTo(critic, 5);
    expect(await scalar(() => loss.generator(given()))).toBeCloseTo(generator, 5);
  });

  it.each(Object.keys(adversarialLosses) as (keyof typeof adversarialLosses)[])('%s has the gradient of its differences', async (name) => {
    const loss: AdversarialLoss = adversarialLosses[name];
    const x = [0.3, -1.2, 0.8, 0.1, 1.7, -0.4, 2.2, -0.7];
    for (const term of [loss.critic, loss.generator]) {
      expect(await differsFromDifferences((z) => {
        const [realLogits, fakeLogits] = tf.split(z, 2) as [tf.Tensor, tf.Tensor];
        return term({ realLogits, fakeLogits });
      }, tf.tensor2d(x, [2, 4]))).toBeLessThan(2e-3);
    }
  });

  it('softens to the published minimum', async () => {
    expect(await scalar(() => smoothed().generator({ fakeLogits: tf.scalar(Math.log(4)) }))).toBeCloseTo(0.500402, 5);
    expect(() => smoothed({ real: 1.2 })).toThrow('smoothed: expected real to be a probability but received 1.2');
  });

  it('has the critic\'s term in halves, for an update each', async () => {
    const { critic, criticReal, criticFake } = smoothed();
    // ln(1 + e^2) - 0.8 * 2 and ln(1 + e^-1).
    expect(await scalar(() => criticReal({ realLogits: tf.scalar(2) }))).toBeCloseTo(0.526928, 5);
    expect(await scalar(() => criticFake({ fakeLogits: tf.scalar(-1) }))).toBeCloseTo(0.313262, 5);
    expect(await scalar(() => critic({ realLogits: tf.scalar(2), fakeLogits: tf.scalar(-1) }))).toBeCloseTo(0.526928 + 0.313262, 5);
  });

  it('squares the distance of means when told to, and plays against any critic', async () => {
    const loss = meanDistance({ critic: hinge.critic, distance: 'squared' });
    expect(await scalar(() => loss.generator(given()))).toBeCloseTo(0.0625, 6);
    expect(await scalar(() => loss.critic(zero()))).toBeCloseTo(2, 6);
  });

  it('plugs into a weighted objective', async () => {
    expect(await scalar(() => weighted({ adversarial: [0.5, hinge.critic] })(zero()).loss)).toBeCloseTo(1, 6);
  });
});
