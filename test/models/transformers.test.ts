import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { findGoldens, readGolden } from '../../bench/parity/golden.ts';
import { handlers } from '../../bench/parity/transformers.ts';
import { ConfigError } from '../../src/errors.ts';
import { dit } from '../../src/models/dit.ts';
import { flux, latentIds, packLatent, unpackLatent } from '../../src/models/flux.ts';
import { type Network, type Params, countParams, sizeOf } from '../../src/models/network.ts';
import { reluLinearAttention, sana } from '../../src/models/sana.ts';
import { sd3 } from '../../src/models/sd3.ts';
import { patchEmbed, sincosPositions, unpatch } from '../../src/models/transformers/patches.ts';
import { rotate, rotationOf } from '../../src/models/transformers/rope.ts';
import { buildNetwork } from '../../src/models/network.ts';
import { fold, seeded } from '../../src/random.ts';
import * as tf from '../../src/tf.ts';
import { leakFree } from '../support.ts';

const folders = await findGoldens(fileURLToPath(new URL('../goldens/transformers', import.meta.url)));

const numbers = async (f: () => tf.Tensor): Promise<number[]> => {
  const x = tf.tidy(f);
  const values = Array.from(await x.data());
  x.dispose();
  return values;
};

const fresh = ({ specs }: Pick<Network<never, unknown>, 'specs'>): Params =>
  Object.fromEntries([...specs].map(([name, { shape, init }]) => [name, tf.tensor(init(fold(seeded(3), name), shape), [...shape])]));

describe('transformers equal the reference on', () => {
  it.each(folders.map((folder) => [folder.split('/').at(-1), folder]))('%s', async (_, folder) => {
    const golden = await readGolden(folder as string);
    const handler = handlers.find(({ matches }) => matches(golden));
    const comparisons = await handler?.run(golden);
    expect(comparisons?.length).toBeGreaterThan(10);
    expect(comparisons?.filter(({ error, limit }) => !(error <= limit))).toEqual([]);
  });
});

describe('full-size configurations have the published numbers of parameters', () => {
  it('DiT-XL/2: 675,129,632 in the paper\'s code, where all blocks share one embedding of time and class and positions are stored', () => {
    const network = dit({ sample_size: 32, num_layers: 28, num_attention_heads: 16, attention_head_dim: 72, in_channels: 4, out_channels: 8 });
    const embedding = 256 * 1152 + 1152 + 1152 ** 2 + 1152 + 1001 * 1152;
    expect(countParams(network)).toBe(675_129_632 - 256 * 1152 + 27 * embedding);
  });
  it('SD3 medium: 2,028,328,000 and 2,084,951,104 with its table of positions', () => {
    const network = sd3({ sample_size: 128, num_layers: 24, num_attention_heads: 24, caption_projection_dim: 1536, pos_embed_max_size: 192, in_channels: 16, out_channels: 16 });
    const all = [...network.specs.values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0);
    expect(countParams(network)).toBe(all - 192 ** 2 * 1536);
    expect(all).toBe(2_084_951_104);
  });
  it('SD3.5 medium: 2.24 B (its table included, 2.47 B), large: 8.06 B', () => {
    const medium = sd3({ sample_size: 128, num_layers: 24, num_attention_heads: 24, caption_projection_dim: 1536, pos_embed_max_size: 384, qk_norm: 'rms_norm', dual_attention_layers: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12] });
    expect(countParams(medium) / 1e9).toBeCloseTo(2.243, 2);
    const large = sd3({ sample_size: 128, num_layers: 38, num_attention_heads: 38, caption_projection_dim: 2432, pos_embed_max_size: 192, qk_norm: 'rms_norm' });
    expect(countParams(large) / 1e9).toBeCloseTo(8.06, 1);
  });
  it('FLUX.1: 11,901,408,320 (dev) and 11,891,178,560 (schnell)', () => {
    expect(countParams(flux({ guidance_embeds: true }))).toBe(11_901_408_320);
    expect(countParams(flux({}))).toBe(11_891_178_560);
  });
  it('Sana: 0.59 B and 1.6 B', () => {
    const small = sana({ num_attention_heads: 36, attention_head_dim: 32, num_layers: 28, num_cross_attention_heads: 16, cross_attention_head_dim: 72, cross_attention_dim: 1152 });
    expect(countParams(small) / 1e9).toBeCloseTo(0.59, 2);
    expect(countParams(sana({})) / 1e9).toBeCloseTo(1.604, 2);
  });
});

describe('configurations are refused by name', () => {
  it.each([
    ['an unknown field', () => dit({ num_heads: 3 }), 'num_heads'],
    ['a norm the reference has no forward pass for', () => dit({ norm_type: 'ada_norm' }), 'norm_type'],
    ['no classes', () => dit({ num_embeds_ada_norm: null }), 'num_embeds_ada_norm'],
    ['a head norm that does not fit joint attention', () => sd3({ qk_norm: 'rms_norm_across_heads' }), 'qk_norm'],
    ['text of another width', () => sd3({ caption_projection_dim: 99 }), 'caption_projection_dim'],
    ['axes that do not fill a head', () => flux({ axes_dims_rope: [16, 56, 54] }), 'axes_dims_rope'],
    ['a head norm per head, which Sana normalises across', () => sana({ qk_norm: 'rms_norm' }), 'qk_norm'],
  ])('%s', (_, build, field) => {
    expect(build).toThrow(ConfigError);
    expect(build).toThrow(field);
  });
  it('guidance without an embedding for it, and an embedding without guidance', () => {
    const given = { encoderHiddenStates: tf.zeros([1, 2, 6]) as tf.Tensor3D, pooledProjections: tf.zeros([1, 4]) as tf.Tensor2D, imgIds: latentIds(1, 2), txtIds: tf.zeros([2, 3]) as tf.Tensor2D };
    const small = { attention_head_dim: 8, num_attention_heads: 1, num_layers: 1, num_single_layers: 0, joint_attention_dim: 6, pooled_projection_dim: 4, in_channels: 4, axes_dims_rope: [2, 2, 4] };
    tf.tidy(() => {
      const call = (options: object, more: object): tf.Tensor => { const network = flux({ ...small, ...options }); return network.apply(fresh(network), tf.zeros([1, 2, 4]), tf.zeros([1]), { ...given, ...more }); };
      expect(() => call({}, { guidance: tf.ones([1]) })).toThrow('guidance');
      expect(() => call({ guidance_embeds: true }, {})).toThrow('guidance');
    });
    tf.dispose(given);
  });
});

describe('parts', () => {
  it('a fresh DiT outputs exactly 0', leakFree(async () => {
    const network = dit({ num_attention_heads: 2, attention_head_dim: 4, num_layers: 2, sample_size: 4, num_embeds_ada_norm: 3 });
    const values = await numbers(() => network.apply(fresh(network), tf.randomNormal([2, 4, 4, 4]), tf.tensor1d([5, 900]), tf.tensor1d([0, 3], 'int32')));
    expect(Math.max(...values.map(Math.abs))).toBe(0);
  }));
  it('linear attention of values that are all one is one, and equals the quadratic form', leakFree(async () => {
    const [q, k, v] = [0, 1, 2].map(() => tf.randomNormal([1, 2, 5, 4])) as [tf.Tensor, tf.Tensor, tf.Tensor];
    const one = await numbers(() => reluLinearAttention(tf.abs(q), k, tf.onesLike(v)));
    one.forEach((x) => expect(x).toBeCloseTo(1, 5));
    const ours = await numbers(() => reluLinearAttention(q, k, v));
    const naive = await numbers(() => { const scores = tf.matMul(tf.relu(q), tf.relu(k), false, true); return tf.div(tf.matMul(scores, v), tf.add(tf.sum(scores, 3, true), 1e-15)); });
    ours.forEach((x, i) => expect(x).toBeCloseTo(naive[i] as number, 4));
    tf.dispose([q, k, v]);
  }));
  it('patches of a kernel that copies come back as the image', leakFree(async () => {
    const image = Float32Array.from({ length: 4 * 6 * 2 }, (_, i) => i);
    const back = await numbers(() => {
      const network = buildNetwork('p', {}, (scope) => patchEmbed(scope, { channels: 2, to: 8, patch: 2, sampleSize: 4, scale: null }));
      // Output channel (row * 2 + column) * 2 + channel copies that entry of the patch.
      const weight = tf.tensor4d(Float32Array.from({ length: 64 }, (_, i) => {
        const [out, c, row, column] = [Math.floor(i / 8), Math.floor(i / 4) % 2, Math.floor(i / 2) % 2, i % 2];
        return out === (row * 2 + column) * 2 + c ? 1 : 0;
      }), [8, 2, 2, 2]);
      return unpatch(network.apply({ 'proj.weight': weight, 'proj.bias': tf.zeros([8]) }, tf.tensor4d(image, [1, 4, 6, 2])), { rows: 2, columns: 3, patch: 2 });
    });
    expect(back).toEqual([...image]);
  }));
  it('positions: columns first, sines before cosines', () => {
    const table = sincosPositions({ rows: 2, columns: 2, channels: 8, base: 2 });
    const row1column0 = table.subarray(16, 24);
    expect([...row1column0.subarray(0, 4)]).toEqual([0, 0, 1, 1]);
    expect(row1column0[4]).toBeCloseTo(Math.sin(1), 6);
    expect(row1column0[5]).toBeCloseTo(Math.sin(0.01), 6);
    expect(() => sincosPositions({ rows: 1, columns: 1, channels: 6, base: 1 })).toThrow(RangeError);
  });
  it('rotation keeps lengths, and products depend on distance only', leakFree(async () => {
    const x = tf.randomNormal([1, 1, 3, 8]);
    const norms = await numbers(() => tf.sum(tf.square(rotate(x, rotationOf(tf.tensor2d([[0, 0], [3, 1], [6, 2]]), [4, 4]))), 3));
    const plain = await numbers(() => tf.sum(tf.square(x), 3));
    norms.forEach((n, i) => expect(n).toBeCloseTo(plain[i] as number, 4));
    const products = await numbers(() => { const same = tf.tile(tf.slice(x, [0, 0, 0, 0], [1, 1, 1, 8]), [1, 1, 3, 1]); const y = rotate(same, rotationOf(tf.tensor2d([[0, 0], [3, 1], [6, 2]]), [4, 4])); return tf.matMul(y, y, false, true); });
    expect(products[1]).toBeCloseTo(products[5] as number, 4);
    x.dispose();
  }));
  it('packing a latent is (channel, row, column), and unpacking undoes it', leakFree(async () => {
    const latent = () => tf.tensor4d(Float32Array.from({ length: 2 * 4 * 2 * 3 }, (_, i) => i), [2, 4, 2, 3]);
    const packed = await numbers(() => packLatent(latent()));
    // First token: channel 0 at (0,0), (0,1), (1,0), (1,1), then channel 1.
    expect(packed.slice(0, 8)).toEqual([0, 3, 6, 9, 1, 4, 7, 10]);
    expect(await numbers(() => unpackLatent(packLatent(latent()), 4, 2))).toEqual(Array.from({ length: 48 }, (_, i) => i));
    expect(await numbers(() => latentIds(2, 2))).toEqual([0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 1, 1]);
  }));
});
