import { from, lastValueFrom } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { weighted } from '../../src/losses/objective.ts';
import { regress } from '../../src/losses/regress.ts';
import { answerUnder, controlDenoiser, controlledBy, hasControl } from '../../src/models/controlDenoiser.ts';
import { denoiser } from '../../src/models/denoiser.ts';
import { applyNet, makeNet, paramsOf } from '../../src/models/net.ts';
import { backward } from '../../src/operators/backward.ts';
import { inherit } from '../../src/operators/inherit.ts';
import { sgd } from '../../src/optim/sgd.ts';
import { fold, normal, seeded } from '../../src/random.ts';
import { free } from '../../src/streams/scoped.ts';
import * as tf from '../../src/tf.ts';
import { batchAt, leakFree } from '../support.ts';

type Image = tf.Tensor4D;
const size = { channels: 3, base: 4, multipliers: [1, 2], depth: 1, attention: true, groups: 2 };
const key = seeded(11);
const image = (name: string): Image => tf.tensor4d(normal(fold(key, name), 2 * 8 * 8 * 3), [2, 8, 8, 3]);
const frameOf = (step: number) => ({
  ...batchAt(step, ['a', 'b']), sourceLatent: image('source'), targetLatent: image('target'), noisy: image('noisy'), goal: image('goal'),
  t: tf.tensor1d([100, 900]), weight: tf.ones([2]) as tf.Tensor1D, mix: {} as never,
});
const make = () => ({
  base: makeNet(denoiser({ ...size, conditioned: false }), { key, optimizer: sgd(), lr: () => 0.1, shadow: true }),
  control: makeNet(controlDenoiser(size), { key: fold(key, 'control'), optimizer: sgd(), lr: () => 0.1, shadow: true }),
});
type Nets = ReturnType<typeof make>;
const withNets = async (test: (nets: Nets) => Promise<void>): Promise<void> => {
  const nets = make();
  try { await test(nets); } finally { free(nets); }
};
const train = async ({ base, control }: Nets, step: number): Promise<void> => {
  const frame = await lastValueFrom(from([frameOf(step)]).pipe(inherit(base, control, { at: 0, unless: hasControl }), backward(control, answerUnder(base), weighted({ noise: [1, regress] }))));
  tf.dispose(frame as unknown as tf.TensorContainer);
};
/** Values of every parameter, by name. */
const valuesOf = async (net: Nets['base'] | Nets['control'], from: 'weights' | 'shadow' = 'weights'): Promise<Readonly<Record<string, readonly number[]>>> => {
  const params = tf.tidy(() => Object.fromEntries(Object.entries(paramsOf(net as Nets['base'], from)).map(([name, tensor]) => [name, tf.clone(tensor)])));
  try {
    return Object.fromEntries(await Promise.all(Object.entries(params).map(async ([name, tensor]) => [name, [...await tensor.data()]] as const)));
  } finally { tf.dispose(params); }
};
const isNew = (name: string): boolean => name.startsWith('controlnet_');

describe('controlDenoiser', () => {
  it('has the denoiser\'s names on the way down, and a residual for every skip and the middle', leakFree(() => withNets(async ({ base, control }) => {
    for (const [name, { shape }] of control.network.specs) if (!isNew(name)) expect(base.network.specs.get(name)?.shape, name).toEqual(shape);
    for (const name of base.network.specs.keys()) if (/^(conv_in|time_embedding|down_blocks|mid_block)/.test(name)) expect(control.network.specs.has(name), name).toBe(true);
    const made = tf.tidy(() => {
      const { downResiduals, midResidual } = applyNet(control)(image('noisy'), tf.tensor1d([1, 2]), image('source'));
      return [...downResiduals, midResidual];
    });
    // First convolution, the first block and what halves it, the second block; and the middle.
    expect(made.map(({ shape }) => shape)).toEqual([[2, 8, 8, 4], [2, 8, 8, 4], [2, 4, 4, 4], [2, 4, 4, 8], [2, 4, 4, 8]]);
    tf.dispose(made);
  })));

  it('changes nothing to begin with, bit for bit, whatever the source', leakFree(() => withNets(async ({ base, control }) => {
    const [alone, steered] = tf.tidy(() => {
      const inputs = [image('noisy'), tf.tensor1d([100, 900]), image('source')] as const;
      return [applyNet(base)(...inputs), controlledBy(applyNet(base), applyNet(control))(...inputs)];
    }) as [Image, Image];
    expect([...await steered.data()]).toEqual([...await alone.data()]);
    tf.dispose([alone, steered]);
  })));

  it('begins as a copy, moves its zero convolutions first, then the rest; the base stays', leakFree(() => withNets(async (nets) => {
    const base = await valuesOf(nets.base);
    const fresh = await valuesOf(nets.control);
    await train(nets, 0);
    const first = await valuesOf(nets.control);
    for (const [name, values] of Object.entries(first)) {
      if (!isNew(name)) expect(values, name).toEqual(base[name]);
      else if (/controlnet_(down_blocks|mid_block).*weight/.test(name)) expect(values, name).not.toEqual(fresh[name]);
      else if (name.startsWith('controlnet_cond_embedding')) expect(values, name).toEqual(fresh[name]);
    }
    expect(await valuesOf(nets.control, 'shadow')).toMatchObject(Object.fromEntries(Object.entries(base).filter(([name]) => name in first)));
    await train(nets, 1);
    const second = await valuesOf(nets.control);
    for (const name of ['conv_in.weight', 'down_blocks.0.resnets.0.conv1.weight', 'controlnet_cond_embedding.conv_out.weight']) expect(second[name], name).not.toEqual(first[name]);
    expect(await valuesOf(nets.base)).toEqual(base);
  })));

  it('is not filled again once it has learned', leakFree(() => withNets(async (nets) => {
    await train(nets, 0);
    await train(nets, 1);
    const learned = await valuesOf(nets.control);
    await lastValueFrom(from([batchAt(0)]).pipe(inherit(nets.base, nets.control, { at: 0, unless: hasControl })));
    expect(await valuesOf(nets.control)).toEqual(learned);
  })));
});
