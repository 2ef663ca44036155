import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { autoencoderKl } from '../../../src/models/autoencoderKl.ts';
import type { StateDict } from '../../../src/models/net.ts';
import type { Network } from '../../../src/models/network.ts';
import { familyOf, unetConfigOf } from '../../../src/models/presets.ts';
import { builderOf } from '../../../src/models/registry.ts';
import { unet2dCondition } from '../../../src/models/unet2dCondition.ts';
import { openCheckpoint } from '../../../src/models/weights/checkpointFile.ts';
import { fromLdm, isLdm, ldmNameOf } from '../../../src/models/weights/ldmNames.ts';
import { loraFrom } from '../../../src/models/weights/loraFiles.ts';
import { loadModel, saveModel } from '../../../src/models/weights/modelFolder.ts';
import { saveSafetensors } from '../../../src/models/weights/saveSafetensors.ts';
import published from '../published.json' with { type: 'json' };

let folder: string;
beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), 'ldm-')); });
afterAll(async () => { await rm(folder, { recursive: true, force: true }); });

const unet = unet2dCondition({ block_out_channels: [4, 8], norm_num_groups: 2, layers_per_block: 1, cross_attention_dim: 6, attention_head_dim: 2, down_block_types: ['CrossAttnDownBlock2D', 'DownBlock2D'], up_block_types: ['UpBlock2D', 'CrossAttnUpBlock2D'] });
const vae = autoencoderKl({ block_out_channels: [4, 8], down_block_types: ['DownEncoderBlock2D', 'DownEncoderBlock2D'], up_block_types: ['UpDecoderBlock2D', 'UpDecoderBlock2D'], norm_num_groups: 2 });

/** Distinct numbers under the network's own names. */
const numbered = ({ specs }: Pick<Network<never, unknown>, 'specs'>): StateDict =>
  Object.fromEntries([...specs].map(([name, { shape }], i) => [name, { shape, data: new Float32Array(shape.reduce((product, n) => product * n, 1)).fill(i) }]));

/** The same under the original code's. */
const original = (network: Pick<Network<never, unknown>, 'name' | 'config' | 'specs'>, prefix: string): StateDict =>
  Object.fromEntries(Object.entries(numbered(network)).map(([name, { shape, data }]) => {
    const theirs = ldmNameOf(network, name);
    return [`${prefix}${theirs}`, { shape: /attn_1\.(q|k|v|proj_out)\.weight$/.test(theirs) ? [...shape, 1, 1] : shape, data }];
  }));

const plain = (state: StateDict): StateDict => Object.fromEntries(Object.entries(state).map(([name, { shape, data }]) => [name, { shape, data }]));

describe('ldmNameOf', () => {
  it('names what it is known for', () => {
    expect(['conv_in.weight', 'time_embedding.linear_2.bias', 'down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight', 'down_blocks.0.downsamplers.0.conv.bias', 'down_blocks.1.resnets.0.conv_shortcut.weight', 'mid_block.resnets.1.time_emb_proj.weight', 'up_blocks.0.upsamplers.0.conv.weight', 'up_blocks.1.resnets.1.norm2.weight', 'conv_norm_out.bias'].map((name) => ldmNameOf(unet, name))).toEqual([
      'input_blocks.0.0.weight', 'time_embed.2.bias', 'input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight', 'input_blocks.2.0.op.bias', 'input_blocks.3.0.skip_connection.weight', 'middle_block.2.emb_layers.1.weight', 'output_blocks.1.1.conv.weight', 'output_blocks.3.0.out_layers.0.weight', 'out.0.bias',
    ]);
    expect(['encoder.mid_block.attentions.0.to_out.0.weight', 'decoder.up_blocks.0.resnets.2.conv1.weight', 'decoder.up_blocks.0.upsamplers.0.conv.bias', 'quant_conv.weight'].map((name) => ldmNameOf(vae, name))).toEqual([
      'encoder.mid.attn_1.proj_out.weight', 'decoder.up.1.block.2.conv1.weight', 'decoder.up.1.upsample.conv.bias', 'quant_conv.weight',
    ]);
  });

  /** Each digest is of names that diffusers' own converter turned back into these, tensor by tensor. */
  it.each(Object.entries(published).filter(([, entry]) => 'ldmDigest' in entry))('names every tensor of %s', async (_name, entry) => {
    const network = (await builderOf(entry._class_name))?.(entry.config) as Network<never, unknown>;
    const lines = [...network.specs.keys()].sort().map((name) => `${name} ${ldmNameOf(network, name)}`);
    expect(createHash('sha256').update(lines.join('\n')).digest('hex').slice(0, 16)).toBe((entry as { ldmDigest: string }).ldmDigest);
  });
});

describe('fromLdm', () => {
  const checkpoint = { ...original(unet, 'model.diffusion_model.'), ...original(vae, 'first_stage_model.'), 'cond_stage_model.x': { shape: [1], data: new Float32Array(1) }, 'model_ema.decay': { shape: [], data: new Float32Array(1) } };

  it('takes each network out of a checkpoint', () => {
    expect(isLdm(checkpoint)).toBe(true);
    expect(plain(fromLdm(unet, checkpoint))).toEqual(numbered(unet));
    expect(plain(fromLdm(vae, checkpoint))).toEqual(numbered(vae));
  });

  it('takes a network alone, without prefix', () => {
    expect(isLdm(original(vae, ''))).toBe(true);
    expect(plain(fromLdm(vae, original(vae, '')))).toEqual(numbered(vae));
    expect(isLdm(numbered(unet))).toBe(false);
  });

  it('keeps strangers below the prefix, for the report', () => {
    expect(Object.keys(fromLdm(unet, { ...checkpoint, 'model.diffusion_model.extra': { shape: [1], data: new Float32Array(1) } }))).toContain('model.diffusion_model.extra');
  });

  it('loads such a file beside a configuration', async () => {
    const network = unet as unknown as Network<never, unknown>;
    await saveModel(folder, { network, state: numbered(unet) })();
    await saveSafetensors(join(folder, 'original.safetensors'), checkpoint)();
    const loaded = await loadModel(folder, { weights: join(folder, 'original.safetensors') })();
    if (E.isLeft(loaded)) throw loaded.left;
    expect(plain(loaded.right.state)).toEqual(numbered(unet));
  });
});

describe('openCheckpoint', () => {
  it('knows families by the width of their tokens, and variants by their channels', () => {
    const of = (width: number, channels: number): StateDict => ({ 'model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight': { shape: [320, width], data: new Float32Array(0) }, 'model.diffusion_model.input_blocks.0.0.weight': { shape: [320, channels, 3, 3], data: new Float32Array(0) } });
    expect([768, 1024, 2048, 5].map((width) => familyOf(of(width, 4)))).toEqual(['sd1', 'sd2', 'sdxl', undefined]);
    expect(unetConfigOf(of(768, 9))).toMatchObject({ in_channels: 9, cross_attention_dim: 768 });
  });

  it('refuses a file that is none', async () => {
    await saveSafetensors(join(folder, 'vae.safetensors'), numbered(vae))();
    const opened = await openCheckpoint(join(folder, 'vae.safetensors'))();
    expect(E.isLeft(opened) && opened.left.message).toMatch(/expected a checkpoint of SD 1, SD 2 or SDXL/);
  });
});

it('reads adapters that name layers as the original code does', () => {
  const file = { 'lora_unet_output_blocks_2_1_proj_in.lora_down.weight': { shape: [1, 4, 1, 1], data: new Float32Array(4) }, 'lora_unet_output_blocks_2_1_proj_in.lora_up.weight': { shape: [4, 1, 1, 1], data: new Float32Array(4) } };
  const read = loraFrom(unet, file);
  expect(E.isRight(read) && read.right.modules).toEqual([{ path: 'up_blocks.1.attentions.0.proj_in', rank: 1, alpha: 1 }]);
});
