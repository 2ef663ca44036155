import { describe, expect, it } from 'vitest';
import { differentiate } from '../../src/models/differentiate.ts';
import { type StateDict, makeNet, paramsOf } from '../../src/models/net.ts';
import { pretrainedTurbo, trainsInTurbo, turboStart } from '../../src/models/pretrainedTurbo.ts';
import { textFree } from '../../src/models/textFree.ts';
import { unet2dCondition } from '../../src/models/unet2dCondition.ts';
import { stateOf } from '../../src/models/weights/netState.ts';
import { adam } from '../../src/optim/adam.ts';
import { normal, seeded } from '../../src/random.ts';
import * as tf from '../../src/tf.ts';
import { leakFree } from '../support.ts';
import published from './published.json' with { type: 'json' };

const unet = { block_out_channels: [8, 8], norm_num_groups: 4, layers_per_block: 1, cross_attention_dim: 6, attention_head_dim: 2, down_block_types: ['CrossAttnDownBlock2D', 'DownBlock2D'], up_block_types: ['UpBlock2D', 'CrossAttnUpBlock2D'] };
const vae = { block_out_channels: [4, 8], norm_num_groups: 2, down_block_types: ['DownEncoderBlock2D', 'DownEncoderBlock2D'], up_block_types: ['UpDecoderBlock2D', 'UpDecoderBlock2D'] };
const turbo = pretrainedTurbo({ unet, vae, tokens: 2 });

const image = (seed: number): tf.Tensor4D => tf.tensor4d(normal(seeded(seed), 192).map((x) => x / 3), [1, 8, 8, 3]);
const noise = (): tf.Tensor4D => tf.tensor4d(normal(seeded(3), 64), [1, 4, 4, 4]);
const share = (r: number): tf.Tensor4D => tf.fill([1, 1, 1, 1], r);

const values = async (f: () => tf.Tensor): Promise<Float32Array> => {
  const out = tf.tidy(f);
  const data = await out.data() as Float32Array;
  out.dispose();
  return data;
};

const furthest = (a: Float32Array, b: Float32Array): number => a.reduce((most, x, i) => Math.max(most, Math.abs(x - (b[i] as number))), 0);

// Graphs of a thousand nodes: their first run is compiled, which takes its time on a busy machine.
describe('pretrainedTurbo', { timeout: 240_000 }, () => {
  it('starts as the released networks, but for the skips', leakFree(async () => {
    const net = makeNet(turbo, { key: seeded(1) });
    const ours = await values(() => turbo.apply(paramsOf(net), image(2), share(1), noise()));
    const state = await stateOf(net);
    const below = (prefix: string): StateDict => Object.fromEntries(Object.entries(state).filter(([name]) => name.startsWith(prefix)).map(([name, value]) => [name.slice(prefix.length), value]));
    const free = textFree(unet2dCondition(unet), { tokens: 2, mode: 'fixed' });
    const asTensors = (given: StateDict): Record<string, tf.Tensor> => Object.fromEntries(Object.entries(given).filter(([name]) => !name.includes('lora')).map(([name, { shape, data }]) => [name, tf.tensor(data, [...shape])]));
    const released = await values(() => {
      const coder = asTensors(below('vae.'));
      const z = tf.mul(turbo.vae.encode(coder, image(2)), 0.18215) as tf.Tensor4D;
      const e = free.apply(asTensors(below('unet.')), z, tf.tensor1d([999]));
      // sqrt(abar[999]) = 0.0682649, sqrt(1 - abar[999]) = 0.9976672.
      const clean = tf.div(tf.sub(z, tf.mul(e, 0.9976672)), 0.0682649);
      return tf.clipByValue(turbo.vae.decode(coder, tf.div(clean, 0.18215)), -1, 1);
    });
    const difference = furthest(ours, released);
    expect(difference).toBeLessThan(1e-3);
    expect(difference).toBeGreaterThan(0);
    tf.dispose(Object.values(net.variables));
  }));

  it('forgets the source at r = 0, and the noise at r = 1', async () => {
    const net = makeNet(turbo, { key: seeded(1) });
    const run = (source: number, r: number, scale: number): Promise<Float32Array> => values(() => turbo.apply(paramsOf(net), image(source), share(r), tf.mul(noise(), scale)));
    expect(await run(2, 0, 1)).toEqual(await run(5, 0, 1));
    expect(await run(2, 1, 1)).toEqual(await run(2, 1, -1));
    expect(furthest(await run(2, 1, 1), await run(5, 1, 1))).toBeGreaterThan(1e-3);
    expect(furthest(await run(2, 0, 1), await run(2, 0, -1))).toBeGreaterThan(1e-3);
    tf.dispose(Object.values(net.variables));
  });

  it('trains adapters, skips and the first convolution; gradients reach each', async () => {
    const net = makeNet(pretrainedTurbo({ unet, vae, tokens: 2, learned: true }), { key: seeded(1), optimizer: adam(), trainable: trainsInTurbo });
    expect(net.layout.every(({ name }) => trainsInTurbo(name))).toBe(true);
    const names = net.layout.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(['unet.conv_in.weight', 'vae.decoder.skip_conv_1.weight', 'vae.decoder.skip_conv_2.weight', 'unet.mid_block.resnets.0.conv1.lora_B.weight', 'vae.encoder.conv_in.lora_B.weight']));
    expect(names).not.toContain('unet.conv_in_pretrained.weight');
    const gradient = await values(() => differentiate(net, (apply) => ({ loss: tf.mean(tf.square(tf.sub(apply(image(2), share(1), noise(), noise()), 0.3))) as tf.Scalar, extra: {} })).gradient);
    const moved = new Set(net.layout.filter(({ offset, size }) => gradient.subarray(offset, offset + size).some((x) => x !== 0)).map(({ name }) => name));
    // A matrix A learns nothing before its B has left zero.
    for (const name of names) expect(moved.has(name), name).toBe(!name.endsWith('lora_A.weight'));
    tf.dispose(Object.values(net.variables));
  });

  it('takes both networks\' weights, and keeps the first convolution twice', () => {
    const entry = { shape: [1], data: Float32Array.of(1) };
    expect(turboStart({ 'conv_in.weight': entry, 'conv_in.bias': entry, 'conv_out.bias': entry }, { 'encoder.conv_in.bias': entry })).toEqual({
      'unet.conv_in.weight': entry, 'unet.conv_in.bias': entry, 'unet.conv_out.bias': entry, 'vae.encoder.conv_in.bias': entry, 'unet.conv_in_pretrained.weight': entry, 'unet.conv_in_pretrained.bias': entry,
    });
  });

  it('builds at the size of SD-Turbo, with the published skips', () => {
    const full = pretrainedTurbo({ unet: published['sd21-unet'].config, vae: published['sd-vae'].config });
    expect([1, 2, 3, 4].map((i) => full.specs.get(`vae.decoder.skip_conv_${i}.weight`)?.shape.slice(0, 2))).toEqual([[512, 512], [512, 256], [512, 128], [256, 128]]);
    const trained = [...full.specs].filter(([name]) => trainsInTurbo(name)).reduce((sum, [, { shape }]) => sum + shape.reduce((product, n) => product * n, 1), 0);
    expect(trained).toBeGreaterThan(5e6);
    expect(trained).toBeLessThan(2e7);
  });
});
