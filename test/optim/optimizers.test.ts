import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import * as tf from '../../src/tf.ts';
import { adam } from '../../src/optim/adam.ts';
import { adamw } from '../../src/optim/adamw.ts';
import type { Optimizer } from '../../src/optim/optimizer.ts';
import { radam } from '../../src/optim/radam.ts';
import { rmsprop } from '../../src/optim/rmsprop.ts';
import { biasCorrection } from '../../src/optim/rules.ts';
import { sgd } from '../../src/optim/sgd.ts';
import { updateNet } from '../../src/optim/update.ts';
import { makeNet } from '../../src/models/net.ts';
import { buildNetwork } from '../../src/models/network.ts';
import { seeded } from '../../src/random.ts';
import { free } from '../../src/streams/scoped.ts';

/** Paths of PyTorch 1.13's optimizers under given gradients. */
type Paths = Readonly<{
  start: number[]; gradients: number[][];
  cases: readonly Readonly<{ rule: keyof typeof rules; lr: number; options: Record<string, number>; path: number[][] }>[];
}>;
const rules = { adam, adamw, radam, rmsprop, sgd } as const satisfies Record<string, (options: never) => Optimizer>;
const { start, gradients, cases } = JSON.parse(readFileSync(new URL('torch.json', import.meta.url), 'utf8')) as Paths;

/** The weights after each step, as one [steps, N] tensor. */
const run = (optimizer: Optimizer, lr: number): tf.Tensor => tf.tidy(() => {
  let weights = tf.tensor1d(start);
  let slots: Readonly<Record<string, tf.Tensor1D>> = Object.fromEntries(Object.entries(optimizer.slots).map(([name, value]) => [name, tf.fill([start.length], value)]));
  return tf.stack(gradients.map((gradient, i) => {
    ({ weights, slots } = optimizer.update(weights, tf.tensor1d(gradient), slots, tf.scalar(lr), tf.scalar(i + 1)));
    return weights;
  }));
});

describe('optimizers', () => {
  it.each(cases.map((one) => [`${one.rule} ${JSON.stringify(one.options)}`, one] as const))('%s follows PyTorch', async (_name, { rule, lr, options, path }) => {
    const made = (rules[rule] as (options: object) => Optimizer)(options);
    const result = run(made, lr);
    const values = await result.data();
    result.dispose();
    const worst = Math.max(...path.flat().map((expected, i) => Math.abs((values[i] as number) - expected)));
    expect(worst).toBeLessThan(1e-6);
  });

  it('follows PyTorch where beta2 changes at every update, in one graph', async () => {
    const optimizer = adam({ beta1: 0, beta2: (update) => 0.9 + 0.03 * update });
    // torch.optim.Adam([1, -2, 0.5], lr=0.1) with betas set to (0, 0.9 + 0.03 i) before step i, in float64.
    const expected = [[0.9, -1.9, 0.4], [0.7796342, -1.9294472, 0.4294472], [0.8130111, -2.064314, 0.4238981], [0.8097427, -2.0368427, 0.3764058]];
    const net = makeNet(buildNetwork('three', {}, (root) => {
      const name = root.param('three', [3], (): Float32Array => Float32Array.of(1, -2, 0.5));
      return (params) => params[name] as tf.Tensor;
    }), { key: seeded(0), optimizer, lr: () => 0.1 });
    const compiled: number[] = [];
    tf.resetEngineStats();
    for (const [step, gradient] of [[0.5, -1, 2], [1, 0.25, -0.5], [-0.3, 2, 0.1], [0.05, -0.7, 1.5]].entries()) {
      tf.tidy(() => { updateNet(net, tf.tensor1d(gradient), { loss: tf.scalar(1), step }); });
      await tf.flush();
      compiled.push(tf.engineStats().compilations);
      (await net.weights.data()).forEach((w, i) => { expect(w).toBeCloseTo((expected[step] as number[])[i] as number, 6); });
    }
    expect(new Set(compiled).size).toBe(1);
    free({ net });
  });

  it('says which update a schedule leaves (0, 1) at, and refuses to go without its values', () => {
    const optimizer = adam({ beta2: (update) => 0.9 + update });
    expect(() => optimizer.scheduled?.['adam.beta2.log']?.(1)).toThrow('adam.beta2: expected the schedule to stay in (0, 1) but it is 1.9 at update 1');
    expect(() => tf.tidy(() => optimizer.update(tf.zeros([1]), tf.zeros([1]), { expAvg: tf.zeros([1]), expAvgSq: tf.zeros([1]) }, tf.scalar(1), tf.scalar(1)))).toThrow('adam.beta2: expected the scheduled values of this update but received none');
  });

  it('names the option that is out of range', () => {
    expect(() => adam({ beta1: 1 })).toThrow('adam: expected beta1 to be in [0, 1) but received 1');
    expect(() => adamw({ weightDecay: -1 })).toThrow('adamw: expected weightDecay to be a non-negative number but received -1');
    expect(() => radam({ beta2: 0 })).toThrow(RangeError);
    expect(() => rmsprop({ alpha: 2 })).toThrow(RangeError);
    expect(() => sgd({ nesterov: true })).toThrow('sgd: expected nesterov with positive momentum');
  });

  it.each([1, 2, 100, 10_000, 10_000_000])('corrects bias exactly at count %i', async (count) => {
    const values = await tf.tidy(() => biasCorrection(0.9999, tf.scalar(count))).data();
    expect(values[0]).toBeCloseTo(-Math.expm1(count * Math.log(0.9999)), 7);
    expect((values[0] as number) / -Math.expm1(count * Math.log(0.9999))).toBeCloseTo(1, 6);
  });

  it('starts the slots it reads, and no others', () => {
    expect(Object.keys(adam().slots)).toEqual(['expAvg', 'expAvgSq']);
    expect(Object.keys(adam({ amsgrad: true }).slots)).toContain('maxExpAvgSq');
    expect(sgd().slots).toEqual({});
    expect(Object.keys(rmsprop({ centered: true, momentum: 0.5 }).slots)).toEqual(['squareAvg', 'gradAvg', 'momentumBuffer']);
  });
});
