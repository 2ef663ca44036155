import { cp, mkdtemp, readFile, rm, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { writeClip, writeSdTurbo } from '../../../fixtures/sdTurbo/generate.ts';
import { clipText } from '../../../src/models/clip.ts';
import { readTokenizer } from '../../../src/models/clipTokenizer.ts';
import { openClip, readClip } from '../../../src/models/weights/clipFolder.ts';
import { openStateDict } from '../../../src/models/weights/openWeights.ts';
import { saveSafetensors } from '../../../src/models/weights/saveSafetensors.ts';
import { openTurbo, readTurboModel, turboNoise } from '../../../src/models/weights/turboFolder.ts';
import * as tf from '../../../src/tf.ts';
import { left, right } from '../../run/support.ts';
import { leakFree } from '../../support.ts';

let original: string;
let folder: string;
beforeAll(async () => {
  original = await mkdtemp(join(tmpdir(), 'millrace-sd-'));
  await writeSdTurbo(join(original, 'sd'), { shards: true });
  await writeClip(join(original, 'clip'));
});
afterAll(() => rm(original, { recursive: true }));
beforeEach(async () => { folder = await mkdtemp(join(tmpdir(), 'millrace-sd-')); await cp(original, folder, { recursive: true }); });
afterEach(() => rm(folder, { recursive: true }));
const at = (...names: readonly string[]): string => join(folder, 'sd', ...names);

describe('openTurbo', () => {
  it('opens sharded weights by part, and embeds the caption as the text transformer does', leakFree(async () => {
    const { unet, vae, caption } = await right(openTurbo(at(), { text: 'caption', caption: 'a cat on the mat' }));
    expect(Object.keys(unet)).toContain('conv_in.weight');
    expect(Object.keys(vae)).toContain('decoder.conv_out.bias');
    const config = JSON.parse(await readFile(at('text_encoder', 'config.json'), 'utf8')) as Record<string, unknown>;
    const state = await right(openStateDict(at('text_encoder')));
    const ids = readTokenizer(at('tokenizer')).encode('a cat on the mat');
    const wanted = tf.tidy(() => clipText(config).apply(Object.fromEntries(Object.entries(state).map(([name, { shape, data }]) => [name, tf.tensor(data, [...shape])])), tf.tensor2d(ids, [1, 77], 'int32')).hidden);
    expect(caption['conditioning.encoder_hidden_states']?.shape).toEqual([1, 77, 8]);
    expect(caption['conditioning.encoder_hidden_states']?.data).toEqual(await wanted.data());
    wanted.dispose();
  }));

  it('needs no text where there is no caption, and tells captions apart', async () => {
    const values = async (caption: string): Promise<Float32Array | undefined> => (await right(openTurbo(at(), { text: 'caption', caption }))).caption['conditioning.encoder_hidden_states']?.data;
    expect(await values('a cat')).not.toEqual(await values('a mat'));
    await rm(at('text_encoder'), { recursive: true });
    await rm(at('tokenizer'), { recursive: true });
    expect((await right(openTurbo(at(), { text: 'learned', caption: '' }))).caption).toEqual({});
  });

  it('passes over the table of positions that old files hold', async () => {
    const state = await right(openStateDict(at('text_encoder')));
    await right(saveSafetensors(at('text_encoder', 'model.safetensors'), { ...state, 'text_model.embeddings.position_ids': { shape: [1, 2], data: Float32Array.of(0, 1) } }));
    expect((await right(openTurbo(at(), { text: 'caption', caption: 'a' }))).caption).toHaveProperty(['conditioning.encoder_hidden_states']);
  });

  it('knows the noise the UNet was trained with', () => {
    const { alphasCumprod, prediction } = turboNoise(readTurboModel(at()));
    expect(prediction).toBe('epsilon');
    // The card's check: abar[999] = 0.0046601.
    expect(alphasCumprod[999]).toBeCloseTo(0.0046601, 7);
  });

  const layout = 'expected a folder of SD-Turbo as diffusers writes it (unet, vae, scheduler, tokenizer, text_encoder)';
  it.each([
    ['unet/config.json', `${layout} but there is no unet/config.json in it`],
    ['vae/config.json', `${layout} but there is no vae/config.json in it`],
    ['scheduler/scheduler_config.json', `${layout} but there is no scheduler/scheduler_config.json in it`],
    ['text_encoder/config.json', `${layout} but there is no text_encoder/config.json in it`],
    ['tokenizer/merges.txt', 'merges.txt: expected a file of CLIP\'s tokenizer but found nothing'],
    ['vae/diffusion_pytorch_model.safetensors', 'vae: there are no weights in it; expected one of diffusion_pytorch_model.safetensors'],
    ['text_encoder/model.safetensors', 'text_encoder: there are no weights in it'],
    ['unet/diffusion_pytorch_model-00002-of-00005.safetensors', 'diffusion_pytorch_model-00002-of-00005.safetensors: '],
  ])('names the folder and what is missing: %s', async (path, message) => {
    await unlink(at(path));
    const error = await left(openTurbo(at(), { text: 'prompts', caption: '' }));
    expect(error.message).toContain(message);
    expect(error.message).toContain(at());
  });

  it('says what a part is instead, and what does not fit', async () => {
    expect(() => readTurboModel('')).toThrow(`--init: ${layout} but received nothing`);
    const edit = async (path: string, change: object): Promise<string> => {
      const kept = await readFile(at(path), 'utf8');
      await writeFile(at(path), JSON.stringify({ ...JSON.parse(kept) as object, ...change }));
      const { message } = await left(openTurbo(at(), { text: 'prompts', caption: '' }));
      await writeFile(at(path), kept);
      return message;
    };
    expect(await edit('vae/config.json', { _class_name: 'AutoencoderTiny' })).toBe(`${at()}/vae: expected AutoencoderKL but its config.json says "AutoencoderTiny"`);
    expect(() => turboNoise({ scheduler: { prediction_type: 'sample' } })).toThrow('scheduler: expected prediction_type epsilon or v_prediction but received sample');
    expect(() => turboNoise({ scheduler: { beta_schedule: 'crooked' } })).toThrow('beta_schedule: expected linear, scaled_linear or squaredcos_cap_v2 but received crooked');
    expect(await edit('unet/config.json', { block_out_channels: [8, 24] })).toMatch(/the weights do not fit UNet2DConditionModel .*of another shape/s);
    expect(await edit('text_encoder/config.json', { hidden_size: 16 })).toBe(`${at('text_encoder')}: expected tokens of width 8, which the UNet attends to, but it makes them of 16`);
    expect(await edit('text_encoder/config.json', { intermediate_size: 8 })).toMatch(/the weights do not fit CLIPTextModel/);
  });
});

describe('openClip', () => {
  it('opens model and tokenizer, and embeds the caption', leakFree(async () => {
    const state = await right(openClip(join(folder, 'clip'), 'a cat'));
    expect(state['caption']?.shape).toEqual([1, 6]);
    expect([...readClip(join(folder, 'clip')).specs.keys()].every((name) => name in state)).toBe(true);
    expect((await right(openClip(join(folder, 'clip'), 'a mat')))['caption']?.data).not.toEqual(state['caption']?.data);
  }));

  it('names what is missing', async () => {
    await unlink(join(folder, 'clip', 'config.json'));
    expect((await left(openClip(join(folder, 'clip'), 'a cat'))).message).toBe(`${join(folder, 'clip')}: expected a folder of CLIP as transformers writes it but there is no config.json in it`);
  });
});
