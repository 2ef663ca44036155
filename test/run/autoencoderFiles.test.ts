import { cp, mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { autoencoderKl } from '../../src/models/autoencoderKl.ts';
import { makeNet } from '../../src/models/net.ts';
import { smallAutoencoder } from '../../src/models/vae.ts';
import { saveModel } from '../../src/models/weights/modelFolder.ts';
import { stateOf } from '../../src/models/weights/netState.ts';
import { seeded } from '../../src/random.ts';
import { findAutoencoder } from '../../src/run/autoencoderFiles.ts';
import { filledIn } from '../../src/run/fillIn.ts';
import { readGiven } from '../../src/run/given.ts';
import { latentFiles, latentMultiple, latentOptions, workingSpace } from '../../src/run/space.ts';
import { free } from '../../src/streams/scoped.ts';
import * as tf from '../../src/tf.ts';
import { leakFree } from '../support.ts';
import { right } from './support.ts';

const model = { ...smallAutoencoder({ base: 4, multipliers: [1, 2], depth: 1, channels: 4, groups: 2, attention: false }), scaling_factor: 2, shift_factor: 0.5 };
const schema = z.object({ data: z.object({ root: z.string().default('none'), size: z.number().default(8), batch: z.number().default(1) }), latent: latentOptions(), steps: z.number().default(1), seed: z.number().default(0) });
const config = (latent: Readonly<Record<string, unknown>>) => schema.parse({ data: {}, latent });

let root = '';
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'millrace-latents-'));
  const network = autoencoderKl(model);
  const net = makeNet(network, { key: seeded(0) });
  await right(saveModel(join(root, 'kl'), { network, state: await stateOf(net) }));
  free({ net });
  await mkdir(join(root, 'vae', 'one'), { recursive: true });
  await writeFile(join(root, 'vae', 'one', 'config.resolved.json'), '{}');
  await cp(join(root, 'kl'), join(root, 'vae', 'one', 'autoencoder'), { recursive: true });
  await symlink('one', join(root, 'vae', 'latest'));
});
afterEach(() => rm(root, { recursive: true }));

describe('latent.autoencoder', () => {
  it('is filled in from the files, and stays with the run a link leads to', async () => {
    const { latent } = await filledIn(schema, config({ autoencoder: join(root, 'vae', 'latest') }));
    expect(latent).toMatchObject({ autoencoder: join(root, 'vae', 'one', 'autoencoder'), factor: 2, model: { _class_name: 'AutoencoderKL', block_out_channels: [4, 8] }, checksum: expect.stringMatching(/^[0-9a-f]{64}$/) });
    expect(latentMultiple(latent)).toBe(2);
    expect((await filledIn(schema, config({ autoencoder: join(root, 'kl') }))).latent.checksum).toBe(latent.checksum);
    expect((await filledIn(schema, config({}))).latent).toEqual(config({}).latent);
  });

  it('is a space to work in: scaled latents, and the way back', leakFree(async () => {
    for (const path of [join(root, 'vae', 'latest'), join(root, 'kl'), join(root, 'kl', 'diffusion_pytorch_model.safetensors')]) {
      const { latent } = await filledIn(schema, config({ autoencoder: path }));
      const space = workingSpace(latent, await readGiven(latentFiles(latent)));
      expect([space.codec.factor, space.codec.channels, space.variables]).toEqual([2, 4, {}]);
      const [z, raw, y] = tf.tidy(() => {
        const image = tf.reshape(tf.linspace(-1, 1, 4 * 6 * 3), [1, 4, 6, 3]) as tf.Tensor4D;
        const z = space.codec.encode(image);
        return [z, tf.add(tf.div(z, 2), 0.5), space.codec.decode(z)];
      }) as [tf.Tensor, tf.Tensor, tf.Tensor];
      expect([z.shape, y.shape]).toEqual([[1, 2, 3, 4], [1, 4, 6, 3]]);
      expect((await z.data())[0]).toBeCloseTo((((await raw.data())[0] as number) - 0.5) * 2, 5);
      tf.dispose([z, raw, y]);
      free({ space });
    }
  }));

  it('refuses files that have changed since, and says when they are gone', async () => {
    const { latent } = await filledIn(schema, config({ autoencoder: join(root, 'vae', 'latest') }));
    expect((await filledIn(schema, config(latent))).latent).toEqual(latent);
    await rename(join(root, 'vae', 'one'), join(root, 'vae', 'two'));
    await expect(filledIn(schema, config(latent))).rejects.toThrow('expected an autoencoder (a run that trained one, or a folder with config.json and weights) but found nothing');
    expect((await filledIn(schema, config({ ...latent, autoencoder: join(root, 'vae', 'two') }))).latent.checksum).toBe(latent.checksum);
    await writeFile(join(root, 'vae', 'two', 'autoencoder', 'diffusion_pytorch_model.safetensors'), 'other');
    await expect(filledIn(schema, config({ ...latent, autoencoder: join(root, 'vae', 'two') }))).rejects.toThrow('expected the autoencoder that this run was trained with');
  });

  it('says what a folder lacks', async () => {
    await rm(join(root, 'vae', 'one', 'autoencoder'), { recursive: true });
    await expect(findAutoencoder(join(root, 'vae', 'latest'))).rejects.toThrow('expected a run that left an autoencoder but it has none');
    await rm(join(root, 'kl', 'config.json'));
    await expect(findAutoencoder(join(root, 'kl'))).rejects.toThrow('expected the config.json of an autoencoder in the folder but found none');
    await writeFile(join(root, 'kl', 'config.json'), '{"_class_name":"UNet2DModel"}');
    await expect(filledIn(schema, config({ autoencoder: join(root, 'kl') }))).rejects.toThrow('expected the configuration of an autoencoder (AutoencoderKL, AutoencoderTiny, AutoencoderDC, TAESD) but received "UNet2DModel"');
    await expect(filledIn(schema, config({ autoencoder: 'x', encoder: 'y' }))).rejects.toThrow('received both');
    await expect(filledIn(schema, config({ encoder: 'y' }))).rejects.toThrow('received only the encoder');
  });
});
