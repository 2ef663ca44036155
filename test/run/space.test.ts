import { describe, expect, it } from 'vitest';
import { makeNet } from '../../src/models/net.ts';
import { taesd } from '../../src/models/taesd.ts';
import { stateOf } from '../../src/models/weights/netState.ts';
import { seeded } from '../../src/random.ts';
import { latentFiles, latentMultiple, latentOptions, workingSpace } from '../../src/run/space.ts';
import { free } from '../../src/streams/scoped.ts';
import * as tf from '../../src/tf.ts';
import { leakFree } from '../support.ts';

const none = latentOptions().parse({});
const some = latentOptions().parse({ encoder: 'e.safetensors', decoder: 'd.safetensors' });

/** The two files of a freshly drawn TAESD, as their author names things. */
const files = async () => {
  const net = makeNet(taesd({ variant: 'f8', channels: 4 }), { key: seeded(0) });
  const state = await stateOf(net);
  free({ net });
  const part = (prefix: string) => Object.fromEntries(Object.entries(state).filter(([name]) => name.startsWith(prefix)).map(([name, value]) => [name.slice(prefix.length), value]));
  return { latentEncoder: part('encoder.'), latentDecoder: part('decoder.') };
};

describe('workingSpace', () => {
  it('is pixels when no files are named, with nothing to own', () => {
    const space = workingSpace(none, {});
    expect([space.codec.factor, space.codec.channels, space.variables]).toEqual([1, 3, {}]);
    expect([latentFiles(none), latentMultiple(none)]).toEqual([{}, 1]);
  });

  it('is the latents of a given autoencoder, freed with the run and not saved', leakFree(async () => {
    const space = workingSpace(some, await files());
    expect([space.codec.factor, space.codec.channels, space.variables]).toEqual([8, 4, {}]);
    const z = tf.tidy(() => space.codec.encode(tf.zeros([1, 16, 24, 3])));
    const y = tf.tidy(() => space.codec.decode(z));
    expect([z.shape, y.shape]).toEqual([[1, 2, 3, 4], [1, 16, 24, 3]]);
    tf.dispose([z, y]);
    free({ space });
  }));

  it('names the files it wants, and the multiple of pixels', () => {
    expect(latentFiles(some)).toEqual({ latentEncoder: ['e.safetensors'], latentDecoder: ['d.safetensors'] });
    expect(latentMultiple(some)).toBe(8);
  });

  it('refuses half an autoencoder, another factor, and what is none', async () => {
    const { latentEncoder, latentDecoder } = await files();
    expect(() => workingSpace(some, { latentEncoder })).toThrow('received only the encoder');
    expect(() => workingSpace({ ...some, factor: 32 }, { latentEncoder, latentDecoder })).toThrow('expected latent.factor to be 8');
    expect(() => workingSpace(some, { latentEncoder, latentDecoder: {} })).toThrow('has no 1.weight');
  });
});
