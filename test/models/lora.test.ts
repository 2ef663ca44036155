import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type LoraModule, adaptablePaths, isLora, loraModules, mergeLora, scaleLora, withLora } from '../../src/models/lora.ts';
import { type StateDict, makeNet, paramsOf } from '../../src/models/net.ts';
import type { Network } from '../../src/models/network.ts';
import { differentiate } from '../../src/models/differentiate.ts';
import { unet2d } from '../../src/models/unet2d.ts';
import { loraFile, loraFrom } from '../../src/models/weights/loraFiles.ts';
import { stateOf } from '../../src/models/weights/netState.ts';
import { readStateDict } from '../../src/models/weights/safetensors.ts';
import { saveSafetensors } from '../../src/models/weights/saveSafetensors.ts';
import { adam } from '../../src/optim/adam.ts';
import { normal, seeded } from '../../src/random.ts';
import * as tf from '../../src/tf.ts';

const network = unet2d({ down_block_types: ['AttnDownBlock2D'], up_block_types: ['AttnUpBlock2D'], block_out_channels: [8], layers_per_block: 1, norm_num_groups: 4, attention_head_dim: 4 });
const targets = ['to_q', 'to_out.0', 'conv1', /conv_shortcut$/];
const modules = loraModules(network, { targets, rank: 2, alpha: 3 });

let folder: string;
beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), 'lora-')); });
afterAll(async () => { await rm(folder, { recursive: true, force: true }); });

const inputs = (): readonly [tf.Tensor4D, tf.Tensor] => [tf.tensor4d(normal(seeded(9), 2 * 4 * 4 * 3), [2, 4, 4, 3]), tf.tensor1d([5, 600])];

/** What a network of these weights makes of the inputs. */
const run = async (of: Network<[tf.Tensor4D, tf.Tensor], tf.Tensor4D>, state: StateDict): Promise<Float32Array> => {
  const out = tf.tidy(() => of.apply(Object.fromEntries(Object.entries(state).map(([name, { shape, data }]) => [name, tf.tensor(data, [...shape], 'float32')])), ...inputs()));
  const values = await out.data() as Float32Array;
  out.dispose();
  return values;
};

/** The network's own weights. */
const own = (state: StateDict): StateDict => Object.fromEntries(Object.entries(state).filter(([name]) => !isLora(name)));

const furthest = (a: Float32Array, b: Float32Array): number => a.reduce((most, x, i) => Math.max(most, Math.abs(x - (b[i] as number))), 0);

const unwrap = <A>(result: E.Either<Error, A>): A => { if (E.isLeft(result)) throw result.left; return result.right; };

describe('a LoRA trained here', () => {
  let state: StateDict;
  let start: StateDict;

  beforeAll(async () => {
    const net = makeNet(withLora(network, modules), { key: seeded(3), optimizer: adam(), lr: () => 0.05, trainable: isLora });
    start = await stateOf(net);
    for (let step = 0; step < 5; step++) {
      tf.tidy(() => {
        const { gradient } = differentiate(net, (apply) => ({ loss: tf.mean(tf.square(tf.sub(apply(...inputs()), 1))) as tf.Scalar, extra: {} }));
        net.weights.assign(net.optimizer?.update(net.weights, gradient, net.slots, tf.scalar(0.05), tf.scalar(step + 1)).weights as tf.Tensor1D);
      });
    }
    state = await stateOf(net);
    tf.dispose(Object.values(net.variables));
  });

  it('starts as the network itself, and then moves only the adapters', async () => {
    expect(furthest(await run(withLora(network, modules), start), await run(network, own(start)))).toBe(0);
    for (const [name, { data }] of Object.entries(state)) expect(furthest(data, (start[name] as StateDict[string]).data) > 0, name).toBe(isLora(name));
  });

  it.each(['peft', 'kohya'] as const)('is saved as %s, read, merged, and gives the same output to 1e-5', async (style) => {
    const path = join(folder, `${style}.safetensors`);
    unwrap(await saveSafetensors(path, loraFile({ modules, state }, { style }))());
    const read = unwrap(loraFrom(network, unwrap(await readStateDict(path)()), { path }));
    const merged = mergeLora(state, read.state, read.modules);
    expect(Object.keys(merged).some(isLora)).toBe(false);
    const unmerged = await run(withLora(network, modules), state);
    expect(furthest(await run(network, merged), unmerged)).toBeLessThan(1e-5);
    expect(furthest(await run(network, own(state)), unmerged)).toBeGreaterThan(1e-2);
    const back = mergeLora(merged, read.state, read.modules, -1);
    expect(furthest((back['down_blocks.0.resnets.0.conv1.weight'] as StateDict[string]).data, (state['down_blocks.0.resnets.0.conv1.weight'] as StateDict[string]).data)).toBeLessThan(1e-6);
  });

  it('can be weakened while it runs', async () => {
    const lora = withLora(network, modules);
    const net = makeNet(lora, { key: seeded(3), given: state });
    const [off, half, whole] = await Promise.all([0, 0.5, 1].map(async (factor) => {
      const out = tf.tidy(() => lora.apply(scaleLora(paramsOf(net), modules, factor), ...inputs()));
      const values = await out.data() as Float32Array;
      out.dispose();
      return values;
    })) as [Float32Array, Float32Array, Float32Array];
    tf.dispose(Object.values(net.variables));
    expect(furthest(off, await run(network, own(state)))).toBe(0);
    expect(furthest(whole, await run(lora, state))).toBe(0);
    expect(furthest(half, off)).toBeGreaterThan(1e-3);
    expect(furthest(half, whole)).toBeGreaterThan(1e-3);
  });
});

describe('loraModules and withLora', () => {
  it('choose layers by the ends of their names', () => {
    expect(modules.map(({ path }) => path)).toContain('mid_block.attentions.0.to_out.0');
    expect(modules.every(({ path }) => /to_q$|to_out\.0$|conv1$|conv_shortcut$/.test(path))).toBe(true);
    expect(adaptablePaths(network)).not.toContain('conv_norm_out');
  });

  it('refuse ranks and names that mean nothing', () => {
    expect(() => loraModules(network, { targets, rank: 0 })).toThrow(/rank to be a positive integer but received 0/);
    expect(() => loraModules(network, { targets: ['to_x'], rank: 1 })).toThrow(/to_x names none/);
    expect(() => withLora(network, [{ path: 'conv_norm_out', rank: 1, alpha: 1 }])).toThrow(/UNet2DModel has no linear or ungrouped convolution layer conv_norm_out/);
  });
});

describe('loraFrom', () => {
  const module: LoraModule = { path: 'mid_block.attentions.0.to_q', rank: 2, alpha: 2 };
  const [a, b] = [{ shape: [2, 8], data: new Float32Array(16) }, { shape: [8, 2], data: new Float32Array(16) }];
  const failure = (file: StateDict): string => { const result = loraFrom(network, file); if (E.isRight(result)) throw new Error('it was read'); return result.left.message; };

  it.each([
    ['diffusers', 'unet.mid_block.attentions.0.to_q.lora_A.weight', 'unet.mid_block.attentions.0.to_q.lora_B.weight'],
    ['peft', 'base_model.model.mid_block.attentions.0.to_q.lora_A.default.weight', 'base_model.model.mid_block.attentions.0.to_q.lora_B.default.weight'],
    ['older diffusers', 'unet.mid_block.attentions.0.to_q.lora.down.weight', 'unet.mid_block.attentions.0.to_q.lora.up.weight'],
    ['oldest diffusers', 'unet.mid_block.attentions.0.processor.to_q_lora.down.weight', 'unet.mid_block.attentions.0.processor.to_q_lora.up.weight'],
    ['kohya', 'lora_unet_mid_block_attentions_0_to_q.lora_down.weight', 'lora_unet_mid_block_attentions_0_to_q.lora_up.weight'],
  ])('reads the names of %s', (_who, down, up) => {
    expect(unwrap(loraFrom(network, { [down]: a, [up]: b })).modules).toEqual([module]);
    expect(unwrap(loraFrom(network, { [down]: a, [up]: b }, { alpha: 8 })).modules).toEqual([{ ...module, alpha: 8 }]);
  });

  it('takes alpha from the file, and the old name of the output layer', () => {
    const stem = 'lora_unet_mid_block_attentions_0_to_q';
    expect(unwrap(loraFrom(network, { [`${stem}.lora_down.weight`]: a, [`${stem}.lora_up.weight`]: b, [`${stem}.alpha`]: { shape: [], data: Float32Array.of(1) } })).modules).toEqual([{ ...module, alpha: 1 }]);
    const old = 'unet.mid_block.attentions.0.processor.to_out_lora';
    expect(unwrap(loraFrom(network, { [`${old}.down.weight`]: a, [`${old}.up.weight`]: b })).modules[0]?.path).toBe('mid_block.attentions.0.to_out.0');
  });

  it('refuses halves, strangers, and matrices of the wrong size', () => {
    const name = 'unet.mid_block.attentions.0.to_q.lora_A.weight';
    expect(failure({ [name]: a })).toMatch(/the adapter of mid_block.attentions.0.to_q has only one of its two matrices/);
    expect(failure({ 'unet.mid_block.attention.0.to_q.lora_A.weight': a })).toMatch(/adapts a layer that UNet2DModel does not have \(is mid_block.attentions.0.to_q meant\?\)/);
    expect(failure({ 'unet.mid_block.attentions.0.to_q.hada_w1_a': a })).toMatch(/is no part of a low-rank adapter that is known/);
    expect(failure({ [name]: { shape: [2, 7], data: new Float32Array(14) }, [name.replace('_A', '_B')]: b })).toMatch(/to_q \[8, 8\] has matrices \[2, 7\] and \[8, 2\]/);
    expect(failure({})).toMatch(/there is no low-rank adapter in it/);
    expect(() => mergeLora({}, {}, [module])).toThrow(/the weights have no mid_block.attentions.0.to_q.weight/);
    expect(() => mergeLora({ 'mid_block.attentions.0.to_q.weight': { shape: [8, 8], data: new Float32Array(64) } }, {}, [module])).toThrow(/expected .*lora_A.weight \[2, 8\]/);
  });
});
