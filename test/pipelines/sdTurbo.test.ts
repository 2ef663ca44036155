import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { concatMap } from 'rxjs';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fixtures } from '../../fixtures/index.ts';
import { writeClip, writeLpips, writeSdTurbo } from '../../fixtures/sdTurbo/generate.ts';
import { sdTurbo } from '../../pipelines/sdTurbo.ts';
import { differentiate } from '../../src/models/differentiate.ts';
import { type Params, sizeOf } from '../../src/models/network.ts';
import { trainsInTurbo } from '../../src/models/pretrainedTurbo.ts';
import { noiseFor } from '../../src/models/translateBy.ts';
import { unet2dCondition } from '../../src/models/unet2dCondition.ts';
import { type AutoencoderKl, autoencoderKl, samplePosterior } from '../../src/models/autoencoderKl.ts';
import { openTurbo, readTurboModel } from '../../src/models/weights/turboFolder.ts';
import { readStateDict } from '../../src/models/weights/safetensors.ts';
import type { StateDict } from '../../src/models/net.ts';
import { fold, normal, seeded } from '../../src/random.ts';
import { follow } from '../../src/run/atomic.ts';
import { controlPanel } from '../../src/run/control.ts';
import { datasetsOnDisk } from '../../src/run/datasets.ts';
import { parseConfig } from '../../src/run/config.ts';
import { filledIn } from '../../src/run/fillIn.ts';
import { readGiven } from '../../src/run/given.ts';
import { translateFiles } from '../../src/run/inference.ts';
import { orThrow, unwrap } from '../../src/run/orThrow.ts';
import { runMethod } from '../../src/run/runPipeline.ts';
import { findTrained, withTrained } from '../../src/run/trainedRun.ts';
import { exportError, exportNetwork } from '../../src/engine/export.ts';
import { free } from '../../src/streams/scoped.ts';
import * as tf from '../../src/tf.ts';
import { engineStats, resetEngineStats } from '../../src/tf.ts';
import { leakFree } from '../support.ts';

let home = '';
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'millrace-sdTurbo-'));
  await writeSdTurbo(join(home, 'sd'), { shards: true });
  await writeClip(join(home, 'clip'));
  await writeLpips(join(home, 'lpips.safetensors'));
  await cp(fixtures.tiny.root, join(home, 'pairs'), { recursive: true });
  for (const split of ['train', 'test']) {
    const names = await readdir(join(home, 'pairs', `${split}_A`));
    // One image has none: the caption stands in for it.
    await writeFile(join(home, 'pairs', `${split}_prompts.json`), JSON.stringify(Object.fromEntries(names.slice(1).map((name, i) => [name, `scene number ${i}`]))));
  }
});
afterAll(() => rm(home, { recursive: true }));

const set = (...settings: readonly string[]): string[] => settings.flatMap((setting) => ['--set', setting]);
const small = (): string[] => ['--init', join(home, 'sd'), ...set('generator.text=caption', 'generator.caption=a cat', 'critic.base=8', 'critic.layers=1')];
/** Every part that the published settings have, with a prompt for each image. */
const whole = (): string[] => [...small(), '--data', join(home, 'pairs'), ...set('generator.text=prompts', `clip.folder=${join(home, 'clip')}`, `lpips.weights=["${join(home, 'lpips.safetensors')}"]`, 'lpips.backbone=squeeze')];

type Method = typeof sdTurbo;
const run = async (out: string, flags: readonly string[], method: Method = sdTurbo, bar: () => void = () => {}): Promise<string> => {
  const lines: string[] = [];
  const code = await runMethod(method, ['--out', join(home, out), ...flags], { datasets: datasetsOnDisk, report: { line: (text) => { lines.push(text); }, bar, end: () => {} }, panel: controlPanel(), script: 'sdTurbo.ts' });
  expect(code, lines.join('\n')).toBe(0);
  return lines.join('\n');
};
const training = (size: number, steps: number): string[] => ['--data', fixtures.tiny.root, '--size', `${size}`, '--batch', '2', '--steps', `${steps}`, ...set('track.logEvery=1', 'track.saveEvery=1', 'track.validateEvery=9', 'track.sampleEvery=9', 'optim.lr=0.001')];
const files = async (out: string): Promise<Record<string, string>> => {
  const folder = join(await follow(join(home, out, 'sdTurbo', 'latest')), 'checkpoints', 'checkpoint-2');
  return Object.fromEntries(await Promise.all((await readdir(folder)).filter((name) => name.endsWith('.safetensors')).map(async (name) => [name, (await readFile(join(folder, name))).toString('base64')] as const)));
};

const tensors = (state: StateDict): Params => Object.fromEntries(Object.entries(state).map(([name, { shape, data }]) => [name, tf.tensor(data, [...shape])]));
const furthest = (a: Float32Array, b: Float32Array): number => a.reduce((most, x, i) => Math.max(most, Math.abs(x - (b[i] as number))), 0);

describe('sdTurbo', { timeout: 900_000 }, () => {
  it('has the published settings by default', () => {
    const { generator, loss, optim, data, steps, track, lpips } = orThrow(parseConfig(sdTurbo.schema, []));
    expect(generator).toMatchObject({ rankUnet: 8, rankVae: 4, timestep: 999, gamma: 1, posterior: 'sample', sourceRange: 'unit', text: 'prompts' });
    expect(loss).toEqual({ l2: 1, lpips: 5, clip: 5, gan: 0.5 });
    expect(optim).toMatchObject({ lr: 5e-6, beta1: 0.9, beta2: 0.999, weightDecay: 0.01, clip: 1, warmUp: 0 });
    expect([data.size, data.batch, steps, track.validateEvery, track.saveEvery, lpips.backbone]).toEqual([512, 4, 10_000, 100, 500, 'vgg']);
  });

  it('starts as the released network, but for the skips', leakFree(async () => {
    const config = await filledIn(sdTurbo.schema, orThrow(parseConfig(sdTurbo.schema, small())));
    const nets = sdTurbo.nets(config, await readGiven(sdTurbo.files?.(config, 'training') ?? {}));
    const keys = [seeded(5)];
    const source = tf.tensor4d(normal(seeded(2), 16 * 16 * 3).map((x) => Math.max(-1, Math.min(1, x / 3))), [1, 16, 16, 3]);
    const ours = tf.tidy(() => sdTurbo.translate(nets, config)(source, { keys }));
    const { unet, vae, caption } = await unwrap(openTurbo(join(home, 'sd'), { text: 'caption', caption: 'a cat' }));
    const shapes = readTurboModel(join(home, 'sd'));
    const coder: AutoencoderKl = autoencoderKl(shapes.vae);
    const released = tf.tidy(() => {
      const [weights, text] = [tensors(vae), tensors(caption)['conditioning.encoder_hidden_states'] as tf.Tensor3D];
      const posterior = coder.posterior(weights, tf.div(tf.add(source, 1), 2));
      const z = tf.mul(samplePosterior(posterior, noiseFor(keys, 'posterior', 0, [1, 8, 8, 4])), 0.18215) as tf.Tensor4D;
      const e = unet2dCondition(shapes.unet).apply(tensors(unet), z, tf.tensor1d([999]), { encoderHiddenStates: text });
      // sqrt(abar[999]) = 0.0682649, sqrt(1 - abar[999]) = 0.9976672.
      return tf.clipByValue(coder.decode(weights, tf.div(tf.div(tf.sub(z, tf.mul(e, 0.9976672)), 0.0682649), 0.18215) as tf.Tensor4D), -1, 1);
    });
    const difference = furthest(await ours.data() as Float32Array, await released.data() as Float32Array);
    expect(difference).toBeLessThan(1e-3);
    expect(difference).toBeGreaterThan(0);
    tf.dispose([source, ours, released]);
    free(nets);
  }));

  it('trains every part in one graph; adapters, skips and the first convolution move, and nothing else', leakFree(async () => {
    const compiled: number[] = [];
    let frozen: readonly Float32Array[] = [];
    const watched: Method = {
      ...sdTurbo,
      train: (config, context, nets) => sdTurbo.train(config, context, nets).pipe(concatMap(async (settled) => {
        frozen = [...frozen, Float32Array.from(await (nets.generator.frozen as tf.Variable).data())];
        return settled;
      })),
    };
    resetEngineStats();
    const text = await run('whole', [...training(32, 3), ...whole()], watched, () => { compiled.push(engineStats().compilations); });
    expect(text).toMatch(/unet: \d+ parameters taken over, (\d+) begin afresh \(\1 of adapters\)/);
    expect(text).toMatch(/vae: \d+ parameters taken over, \d+ begin afresh \(\d+ of adapters, vae\.decoder\.skip_conv_1\.weight, vae\.decoder\.skip_conv_2\.weight\)/);
    expect(frozen).toHaveLength(3);
    expect(frozen.every((values) => Buffer.from(values.buffer).equals(Buffer.from((frozen[0] as Float32Array).buffer)))).toBe(true);
    // Validation and samples come with the last step, and the caption's network before the first.
    expect(compiled[1]).toBe(compiled[0]);
    const run0 = await follow(join(home, 'whole', 'sdTurbo', 'latest'));
    const logged = (await readFile(join(run0, 'metrics.jsonl'), 'utf8')).trim().split('\n').map((line) => JSON.parse(line) as Record<string, number>);
    for (const name of ['generator.l2', 'generator.lpips', 'generator.clip', 'generator.gan.fooled', 'critic.real.bce', 'critic.fake.bce']) expect(Number.isFinite(logged[0]?.[name]), name).toBe(true);
    // Heads at zero logits would say ln 2 each, and there are three.
    expect(logged[0]?.['critic.fake.bce']).toBeLessThan(6);
    const saved = await unwrap(readStateDict(join(run0, 'checkpoints', 'checkpoint-3', 'generator.safetensors')));
    expect(Object.keys(saved).every(trainsInTurbo)).toBe(true);
    const config = await filledIn(sdTurbo.schema, orThrow(parseConfig(sdTurbo.schema, whole())));
    const fresh = sdTurbo.nets(config, await readGiven(sdTurbo.files?.(config, 'training') ?? {}));
    const start = await fresh.generator.weights.data();
    const moved = fresh.generator.layout.filter(({ name, offset, shape }) => (saved[name]?.data as Float32Array).some((x, i) => x !== start[offset + i] && i < sizeOf(shape)));
    expect(moved.map(({ name }) => name)).toEqual(fresh.generator.layout.map(({ name }) => name));
    free(fresh);
  }));

  it('tells the UNet each image\'s own prompt, or the caption', leakFree(async () => {
    const config = await filledIn(sdTurbo.schema, orThrow(parseConfig(sdTurbo.schema, whole())));
    const nets = sdTurbo.nets(config, await readGiven(sdTurbo.files?.(config, 'training') ?? {}));
    const translate = sdTurbo.translate(nets, config);
    const image = tf.tensor4d(normal(seeded(2), 2 * 768).map((x) => Math.max(-1, Math.min(1, x / 3))), [2, 16, 16, 3]);
    const values = async (prompts?: readonly (string | undefined)[]): Promise<Float32Array> => {
      const out = tf.tidy(() => translate(image, { keys: [seeded(5), seeded(5)], ...(prompts && { prompts }) }));
      const data = await out.data() as Float32Array;
      out.dispose();
      return data;
    };
    const [silent, captions, mixed] = [await values(), await values(['a cat', 'a cat']), await values([undefined, 'something else'])];
    expect(captions).toEqual(silent);
    expect(mixed.subarray(0, 768)).toEqual(silent.subarray(0, 768));
    expect(furthest(mixed.subarray(768), silent.subarray(768))).toBeGreaterThan(1e-4);
    const embedded = (await unwrap(openTurbo(join(home, 'sd'), { text: 'caption', caption: 'a cat' }))).caption['conditioning.encoder_hidden_states']?.data as Float32Array;
    const live = tf.tidy(() => nets.words?.embed([undefined]) as tf.Tensor);
    expect(furthest(await live.data() as Float32Array, embedded)).toBeLessThan(1e-6);
    tf.dispose([image, live]);
    free(nets);
  }));

  it('goes on where it was broken off, to the same bytes, and draws from the weights themselves', async () => {
    await run('broken', [...training(16, 1), ...small()]);
    await run('once', [...training(16, 2), ...small()]);
    await run('broken', ['--resume', '--steps', '2']);
    const [one, other] = [await files('once'), await files('broken')];
    expect(Object.keys(one).toSorted()).toEqual(['critic.optimizer.safetensors', 'critic.safetensors', 'generator.ema.safetensors', 'generator.optimizer.safetensors', 'generator.safetensors']);
    expect(other).toEqual(one);
    expect(one['generator.ema.safetensors']).toBe(one['generator.safetensors']);
  });

  it('keeps less for the gradient to the same gradient, with tokens that are trained', leakFree(async () => {
    const gradient = async (recompute: boolean): Promise<Readonly<{ values: Float32Array; moved: (name: string) => boolean }>> => {
      const config = await filledIn(sdTurbo.schema, orThrow(parseConfig(sdTurbo.schema, [...small(), ...set('generator.text=learned', `generator.recompute=${recompute}`)])));
      const { generator, critic } = sdTurbo.nets(config, await readGiven(sdTurbo.files?.(config, 'training') ?? {}));
      const image = (key: string, shape: [number, number, number, number]): tf.Tensor4D => tf.tensor4d(normal(fold(seeded(3), key), sizeOf(shape)).map((x) => x / 3), shape);
      const found = tf.tidy(() => tf.keep(differentiate(generator, (apply) => ({
        loss: tf.mean(tf.square(apply(image('source', [1, 16, 16, 3]), tf.fill([1, 1, 1, 1], 0.7), image('noise', [1, 8, 8, 4]), image('eps', [1, 8, 8, 4])))) as tf.Scalar, extra: {},
      })).gradient));
      const values = Float32Array.from(await found.data());
      found.dispose();
      free({ generator, critic });
      return { values, moved: (name) => generator.layout.some((place) => place.name === name && values.subarray(place.offset, place.offset + place.size).some((x) => x !== 0)) };
    };
    const [plain, again] = [await gradient(false), await gradient(true)];
    expect(furthest(again.values, plain.values)).toBeLessThan(1e-4 * Math.max(...plain.values));
    for (const name of ['unet.conditioning.encoder_hidden_states', 'unet.conv_in.weight', 'vae.decoder.skip_conv_1.weight']) expect(plain.moved(name), name).toBe(true);
  }));

  it('is used on images of any size, and exported', leakFree(async () => {
    const trained = await findTrained(join(home, 'once', 'sdTurbo', 'latest'), { checkpoint: 'latest' });
    const photos = join(home, 'photos');
    await mkdir(photos);
    await sharp({ create: { width: 37, height: 21, channels: 3, background: '#c64' } }).png().toFile(join(photos, 'odd.png'));
    await withTrained(trained, async (nets) => {
      const multiple = trained.method.multipleOf(trained.config);
      expect(multiple).toBe(4);
      const translate = trained.method.translate(nets, trained.config);
      const failed = await translateFiles(translate, [{ from: join(photos, 'odd.png'), to: join(home, 'out', 'odd.png') }], { multiple, tile: 32, overlap: 8, seed: 0 }, () => {});
      expect(failed).toBe(0);
      const { width, height } = await sharp(join(home, 'out', 'odd.png')).metadata();
      expect([width, height]).toEqual([37, 21]);
      const network = (source: tf.Tensor4D, key: ReturnType<typeof fold>): tf.Tensor4D => translate(source, { keys: [key] });
      const model = await exportNetwork('sdTurbo', network, { size: [16, 16] });
      expect(model.inputs.map(({ name }) => name)).toEqual(['source', 'noise0']);
      expect(await exportError(model, network, [16, 16])).toBeLessThan(1e-4);
    });
  }));

  it('says what is wrong with the folder, before anything is made', async () => {
    await expect(run('none', training(16, 1))).rejects.toThrow(/--init: expected a folder of SD-Turbo/);
    await expect(run('none', [...training(16, 1), '--init', join(home, 'nowhere')])).rejects.toThrow(`${join(home, 'nowhere')}: expected a folder of SD-Turbo`);
    await expect(readdir(join(home, 'none'))).rejects.toThrow('ENOENT');
  });

  it('refuses to go on, or to be used, with other weights than it was begun from', async () => {
    await writeSdTurbo(join(home, 'changed'));
    const { released } = await filledIn(sdTurbo.schema, orThrow(parseConfig(sdTurbo.schema, ['--init', join(home, 'changed')])));
    expect(released).toMatchObject({ unet: { _class_name: 'UNet2DConditionModel' }, vae: { _class_name: 'AutoencoderKL' }, scheduler: { beta_schedule: 'scaled_linear' } });
    const path = join(home, 'changed', 'vae', 'diffusion_pytorch_model.safetensors');
    const bytes = await readFile(path);
    bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 1;
    await writeFile(path, bytes);
    const layer = { name: 'a run', values: { released } };
    await expect(filledIn(sdTurbo.schema, orThrow(parseConfig(sdTurbo.schema, [], { layers: [layer] })))).rejects.toThrow(/changed: expected the weights that this run was begun from \([0-9a-f]{12}\) but they have changed/);
  });
});
