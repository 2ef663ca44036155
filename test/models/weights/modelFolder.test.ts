import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { autoencoderTiny } from '../../../src/models/autoencoderTiny.ts';
import { makeNet } from '../../../src/models/net.ts';
import type { Network } from '../../../src/models/network.ts';
import { buildModel, loadModel, readPipeline, saveModel } from '../../../src/models/weights/modelFolder.ts';
import { stateOf } from '../../../src/models/weights/netState.ts';
import { nearestName, reportOn } from '../../../src/models/weights/report.ts';
import { saveSafetensors } from '../../../src/models/weights/saveSafetensors.ts';
import { adam } from '../../../src/optim/adam.ts';
import { seeded } from '../../../src/random.ts';
import * as tf from '../../../src/tf.ts';

const small = { encoder_block_out_channels: [4, 4], decoder_block_out_channels: [4, 4], num_encoder_blocks: [1, 1], num_decoder_blocks: [1, 1], latent_channels: 2 };
const network = autoencoderTiny(small) as unknown as Network<never, unknown>;

let folder: string;
beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), 'model-')); });
afterAll(async () => { await rm(folder, { recursive: true, force: true }); });

/** A model of fresh weights, saved. */
const saved = async (place: string): Promise<Awaited<ReturnType<typeof stateOf>>> => {
  const net = makeNet(autoencoderTiny(small), { key: seeded(1), optimizer: adam(), trainable: (name) => name.startsWith('decoder.'), shadow: true });
  const state = await stateOf(net);
  tf.dispose(Object.values(net.variables));
  const result = await saveModel(place, { network, state })();
  if (E.isLeft(result)) throw result.left;
  return state;
};

const failure = async (task: Promise<E.Either<Error, unknown>>): Promise<string> => {
  const result = await task;
  if (E.isRight(result)) throw new Error('it worked');
  return result.left.message;
};

describe('loadModel and saveModel', () => {
  it('give back configuration and weights', async () => {
    const state = await saved(join(folder, 'a'));
    expect(JSON.parse(await readFile(join(folder, 'a', 'config.json'), 'utf8'))).toMatchObject({ _class_name: 'AutoencoderTiny', _diffusers_version: expect.any(String), latent_channels: 2, act_fn: 'relu' });
    const loaded = await loadModel(join(folder, 'a'))();
    if (E.isLeft(loaded)) throw loaded.left;
    expect(loaded.right.className).toBe('AutoencoderTiny');
    expect([...loaded.right.network.specs.keys()]).toEqual([...network.specs.keys()]);
    for (const [name, { shape, data }] of Object.entries(state)) expect([loaded.right.state[name]?.shape, loaded.right.state[name]?.data]).toEqual([shape, data]);
  });

  it('load a part of a pipeline, and name the parts when asked for the whole', async () => {
    await saved(join(folder, 'pipeline', 'vae'));
    await writeFile(join(folder, 'pipeline', 'model_index.json'), JSON.stringify({ _class_name: 'StableDiffusionPipeline', vae: ['diffusers', 'AutoencoderTiny'], tokenizer: ['transformers', 'CLIPTokenizer'], safety_checker: [null, null], requires_safety_checker: false }));
    expect(await readPipeline(join(folder, 'pipeline'))()).toEqual(E.right({ vae: 'AutoencoderTiny', tokenizer: 'CLIPTokenizer' }));
    expect(E.isRight(await loadModel(join(folder, 'pipeline'), { part: 'vae' })())).toBe(true);
    expect(await failure(loadModel(join(folder, 'pipeline'))())).toMatch(/is a whole pipeline: name the part to load, vae \(AutoencoderTiny\)$/);
    expect(await failure(loadModel(join(folder, 'pipeline'), { part: 'unet' })())).toMatch(/unet\/config.json: cannot be read/);
  });

  it('report every name that does not fit, with the nearest', async () => {
    const place = join(folder, 'misfit');
    const state = await saved(place);
    const { 'encoder.layers.0.weight': weight, 'decoder.layers.0.bias': bias, ...rest } = state;
    await saveSafetensors(join(place, 'diffusion_pytorch_model.safetensors'), { ...rest, 'encoder.layer.0.weight': weight as typeof bias & object, 'decoder.layers.0.bias': { shape: [5], data: new Float32Array(5) } })();
    const message = await failure(loadModel(place)());
    expect(message).toMatch(/the weights do not fit AutoencoderTiny \(\d+ tensors do\)/);
    expect(message).toMatch(/1 missing:\n +encoder.layers.0.weight \(is encoder.layer.0.weight meant\?\)/);
    expect(message).toMatch(/1 of another shape:\n +decoder.layers.0.bias: expected \[4\] but received \[5\]/);
    expect(message).toMatch(/1 unexpected:\n +encoder.layer.0.weight/);
  });

  it('say that weights are of another architecture', async () => {
    const place = join(folder, 'other');
    await saved(place);
    await saveSafetensors(join(place, 'diffusion_pytorch_model.safetensors'), { 'transformer_blocks.0.attn.to_q.weight': { shape: [1], data: new Float32Array(1) } })();
    expect(await failure(loadModel(place)())).toMatch(/the weights are not those of AutoencoderTiny: not one name and shape agrees/);
  });

  it('refuse unknown classes, unknown fields, and configurations that are none', async () => {
    expect(await failure(buildModel('AutoencoderTini', {}))).toMatch(/AutoencoderTini is no model class that is known \(is AutoencoderTiny meant\?\); known are/);
    expect(await failure(buildModel('AutoencoderTiny', { ...small, latent_chanels: 3 }))).toBe('AutoencoderTiny: the field latent_chanels is not known (is latent_channels meant?)');
    await mkdir(join(folder, 'bad'));
    for (const [json, message] of [['[]', /expected a JSON record/], ['{', /cannot be read/], ['{}', /_class_name to name a model class but received undefined/]] as const) {
      await writeFile(join(folder, 'bad', 'config.json'), json);
      expect(await failure(loadModel(join(folder, 'bad'))())).toMatch(message);
    }
  });

  it('do not save what does not fit', async () => {
    expect(await failure(saveModel(join(folder, 'never'), { network, state: {} })())).toMatch(/not one name and shape agrees/);
  });
});

describe('report', () => {
  it('finds the nearest name, and none where nothing is near', () => {
    expect(nearestName('mid_block.resnets.0.conv1.weight', ['mid.block_1.conv1.weight', 'mid_block.resnet.0.conv1.weight', 'conv_in.weight'])).toBe('mid_block.resnet.0.conv1.weight');
    expect(nearestName('conv_in.weight', ['xyz'])).toBeUndefined();
    expect(nearestName('a', [])).toBeUndefined();
  });

  it('counts what fits, and is not fooled by inherited names', () => {
    const state = Object.fromEntries([...network.specs].map(([name, { shape }]) => [name, { shape }]));
    expect(reportOn(network, state)).toEqual({ missing: [], unexpected: [], misshapen: [], matched: network.specs.size });
    const odd = { name: 'odd', specs: new Map([['toString', { shape: [1], init: () => new Float32Array(1), buffer: false, adaptable: false }]]) };
    expect(reportOn(odd, {}).missing).toEqual([{ name: 'toString', nearest: undefined }]);
  });
});
