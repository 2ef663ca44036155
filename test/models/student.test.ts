import { describe, expect, it } from 'vitest';
import { halfOf } from '../../src/models/autoencoder.ts';
import { autoencoderKl } from '../../src/models/autoencoderKl.ts';
import { autoencoderOf } from '../../src/models/autoencoders.ts';
import { latentCritic } from '../../src/models/latentCritic.ts';
import { applyNet, makeNet, paramsOf } from '../../src/models/net.ts';
import { decoderCritic, studentOf } from '../../src/models/student.ts';
import { taesd } from '../../src/models/taesd.ts';
import { stateOf } from '../../src/models/weights/netState.ts';
import { taesdConfigOf } from '../../src/models/weights/taesdFiles.ts';
import { seeded } from '../../src/random.ts';
import { free } from '../../src/streams/scoped.ts';
import * as tf from '../../src/tf.ts';
import { drawn, image } from '../losses/differences.ts';
import { leakFree } from '../support.ts';

const numbers = async (f: () => tf.Tensor): Promise<number[]> => { const t = tf.tidy(f); const values = [...await t.data()]; t.dispose(); return values; };
const size = { variant: 'f8', width: 8, blocks: 1 } as const;

describe('halves of an autoencoder', () => {
  it('are the ways through the whole, under the names of its files', leakFree(async () => {
    const whole = taesd({ channels: 5, halvings: 2, ...size });
    const net = makeNet(whole, { key: seeded(1) });
    const state = await stateOf(net);
    const given = (prefix: string) => Object.fromEntries(Object.entries(state).filter(([name]) => name.startsWith(prefix)).map(([name, value]) => [name.slice(prefix.length), value]));
    const [encoder, decoder] = [makeNet(halfOf(whole, 'encoder'), { key: seeded(2), given: given('encoder.') }), makeNet(halfOf(whole, 'decoder'), { key: seeded(3), given: given('decoder.') })];
    const x = image(1, [1, 8, 8, 3]);
    expect(await numbers(() => applyNet(decoder)(applyNet(encoder)(x)))).toEqual(await numbers(() => whole.apply(paramsOf(net), x)));
    expect([encoder.name, decoder.name, [...decoder.network.specs.keys()][0]]).toEqual(['encoder', 'decoder', '1.weight']);
    x.dispose();
    free({ net, encoder, decoder });
  }));

  it('are refused where both ways need something', () => {
    expect(() => halfOf(autoencoderKl({}), 'decoder')).toThrow('halfOf: expected AutoencoderKL to have parameters of its decoder but received quant_conv.weight');
  });
});

describe('relatives of TAESD', () => {
  it.each([[{ variant: 'f8', channels: 4, width: 16, blocks: 1, halvings: 2 }], [{ variant: 'f8Pool', channels: 32, width: 8, blocks: 2 }], [{ variant: 'f8', channels: 4 }], [{ variant: 'f32', channels: 32 }]] as const)('%o is known by its decoder', (config) => {
    const whole = autoencoderOf({ _class_name: 'TAESD', ...config });
    const { specs } = halfOf(whole, 'decoder');
    expect(taesdConfigOf(Object.fromEntries([...specs].map(([name, { shape }]) => [name, { shape, data: new Float32Array() }])))).toEqual(config);
    expect(whole.factor).toBe(config.variant === 'f32' ? 32 : 2 ** ('halvings' in config ? config.halvings : 3));
  });

  it('have no other f32', () => {
    expect(() => taesd({ variant: 'f32', channels: 32, width: 8 })).toThrow('taesd: expected the published sizes of f32 but received others');
  });
});

describe('studentOf', () => {
  it('works in the teacher\'s latents, and its fresh decoder begins about grey', leakFree(async () => {
    const networks = studentOf({ factor: 4, channels: 6 }, size);
    const nets = { encoder: makeNet(networks.encoder, { key: seeded(1) }), decoder: makeNet(networks.decoder, { key: seeded(2) }) };
    const z = tf.tidy(() => applyNet(nets.encoder)(image(1, [2, 16, 8, 3])));
    expect(z.shape).toEqual([2, 4, 2, 6]);
    const grey = await numbers(() => applyNet(nets.decoder)(z));
    expect(grey).toHaveLength(2 * 16 * 8 * 3);
    expect(Math.abs(grey.reduce((a, b) => a + b, 0) / grey.length)).toBeLessThan(0.2);
    z.dispose();
    free(nets);
    expect(() => studentOf({ factor: 6, channels: 4 }, size)).toThrow('studentOf: expected a teacher whose factor is 2, 4, 8 ... but received 6');
  }));
});

describe('critics of a student', () => {
  it.each(['patch', 'seraena'] as const)('%s judges patches beside the latent they belong to', (kind) => leakFree(async () => {
    const net = makeNet(decoderCritic({ kind, channels: 4, base: 8, layers: 1 }), { key: seeded(1) });
    const judged = (context: number) => numbers(() => applyNet(net)(image(1, [2, 16, 16, 3]), drawn<tf.Rank.R4>(context, [2, 4, 4, 4])));
    expect(await judged(1)).not.toEqual(await judged(2));
    expect(tf.tidy(() => applyNet(net)(image(1, [2, 16, 16, 3]), drawn<tf.Rank.R4>(1, [2, 4, 4, 4])).shape)).toEqual(kind === 'patch' ? [2, 6, 6, 1] : [2, 2, 2, 5]);
    free({ net });
  })());

  it('hear the image however many channels the latent has', leakFree(async () => {
    // How much logits move when images change under one latent, over how much when latents change under one image.
    const share = async (channels: number): Promise<number> => {
      const net = makeNet(decoderCritic({ kind: 'patch', channels, base: 16, layers: 1 }), { key: seeded(1) });
      const judged = (picture: number, context: number) => numbers(() => applyNet(net)(image(picture, [2, 16, 16, 3]), drawn<tf.Rank.R4>(context, [2, 4, 4, channels])));
      const apart = (a: readonly number[], b: readonly number[]): number => Math.sqrt(a.reduce((sum, x, i) => sum + (x - (b[i] as number)) ** 2, 0));
      const [base, otherImage, otherLatent] = [await judged(1, 1), await judged(2, 1), await judged(1, 2)];
      free({ net });
      return apart(base, otherImage) / apart(base, otherLatent);
    };
    expect(await share(32)).toBeGreaterThan(0.5 * await share(4));
  }));

  it('of latents are as large as these', leakFree(() => {
    const net = makeNet(latentCritic({ channels: 4, base: 8 }), { key: seeded(1) });
    expect(tf.tidy(() => applyNet(net)(drawn<tf.Rank.R4>(1, [2, 3, 5, 4])).shape)).toEqual([2, 3, 5, 1]);
    free({ net });
    expect(() => latentCritic({ channels: 4, base: 8, layers: 0 })).toThrow('latentCritic: expected layers to be a positive integer but received 0');
  }));
});
