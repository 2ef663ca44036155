import { describe, expect, it } from 'vitest';
import { clip } from '../../src/models/clip.ts';
import { type Params, param, running, sizeOf } from '../../src/models/network.ts';
import { type Sight, sightOf, visionHeads, visionOf } from '../../src/models/visionCritic.ts';
import { normal, seeded } from '../../src/random.ts';
import * as tf from '../../src/tf.ts';
import { leakFree } from '../support.ts';
// Computed with torch.nn.utils.spectral_norm in training mode, in float64, weights from `value` below.
import { near } from './near.ts';
import golden from './visionCritic.torch.json' with { type: 'json' };

const value = (tensor: number, i: number): number => {
  const x = Math.sin((i + 1) * 12.9898 + (tensor + 1) * 78.233) * 43758.5453;
  return x - Math.floor(x) - 0.5;
};
const values = (tensor: number, size: number, scale = 1): Float32Array => Float32Array.from({ length: size }, (_, i) => value(tensor, i) * scale);

const eyes = clip({ projection_dim: 5, text_config: { hidden_size: 8, intermediate_size: 8, num_hidden_layers: 1, num_attention_heads: 2 }, vision_config: { hidden_size: 6, intermediate_size: 8, num_hidden_layers: 3, num_attention_heads: 2, image_size: 20, patch_size: 4 } });
const heads = visionHeads(eyes, { width: 4 });

/** As in a critic's own step: its directions are brought up to date, and kept nowhere. */
const params = (): Params => {
  const given: Record<string, tf.Tensor> = Object.fromEntries([...heads.specs].map(([name, { shape }], k) => {
    const drawn = values(k, sizeOf(shape));
    const length = /weight_[uv]$/.test(name) ? Math.hypot(...drawn) : 1;
    return [name, tf.tensor(drawn.map((x) => x / length), [...shape])];
  }));
  return { ...given, [running]: { read: (name) => param(given, name), write: () => {} } };
};
const sight = (): [tf.Tensor4D, tf.Tensor4D, tf.Tensor2D] => [tf.tensor4d(values(100, 300, 2), [2, 5, 5, 6]), tf.tensor4d(values(101, 300, 2), [2, 5, 5, 6]), tf.tensor2d(values(102, 10, 2), [2, 5])];

describe('visionHeads', () => {
  it.each([0, 1, 2])('says with head %i what the reference says', (i) => leakFree(() => near(() => heads.apply(params(), sight())[i] as tf.Tensor, golden.logits[i] as number[]))());

  it('has the gradient of the reference', leakFree(() => near(() => {
    const [, second, embedding] = sight();
    const fixed = params();
    return tf.grad((map) => heads.apply(fixed, [map, second, embedding]).map((logits) => tf.sum(tf.square(logits))).reduce((a, b) => tf.add(a, b)))(sight()[0]);
  }, golden.gradient)));

  it('has the published heads on CLIP ViT-B/32', () => {
    const { specs } = visionHeads(clip());
    const trained = [...specs].filter(([, { buffer }]) => !buffer).reduce((sum, [, { shape }]) => sum + sizeOf(shape), 0);
    // Twice 3x3 from 768 to 256 and 1x1 to 1, and 512 to 256 to 1, with biases.
    expect(trained).toBe(2 * (768 * 256 * 9 + 256 + 256 + 1) + (512 * 256 + 256 + 256 + 1));
  });
});

describe('sightOf', () => {
  const vision = visionOf(eyes);
  const frozen = (): Params => Object.fromEntries([...vision.specs].map(([name, { shape }], k) => [name, tf.tensor(values(k, sizeOf(shape)), [...shape])]));
  const look = (image: tf.Tensor4D): Sight => { const held = frozen(); return sightOf(eyes, (pixels) => vision.apply(held, pixels), image); };

  it('sees pictures of any size: two maps and the whole', leakFree(() => {
    tf.tidy(() => { expect(look(tf.zeros([2, 33, 47, 3])).map(({ shape }) => [...shape])).toEqual([[2, 5, 5, 6], [2, 5, 5, 6], [2, 5]]); });
  }));

  it('averages what is larger, so that detail it cannot see changes nothing', leakFree(async () => {
    const flat = tf.tidy(() => look(tf.fill([1, 40, 40, 3], 0.25) as tf.Tensor4D)[2] as tf.Tensor);
    // Alternating 0 and 0.5 in blocks that the average covers.
    const checked = tf.tidy(() => look(tf.tensor4d(Float32Array.from({ length: 4800 }, (_, i) => (Math.floor(i / 3) % 2) * 0.5), [1, 40, 40, 3]))[2] as tf.Tensor);
    const [a, b] = [await flat.data(), await checked.data()];
    a.forEach((x, i) => { expect(b[i]).toBeCloseTo(x as number, 4); });
    tf.dispose([flat, checked]);
  }));

  it('passes gradients to the picture, and needs no text', leakFree(async () => {
    expect([...vision.specs.keys()].some((name) => name.startsWith('text_') || name === 'logit_scale')).toBe(false);
    const gradient = tf.tidy(() => tf.grad((image) => tf.sum(look(image as tf.Tensor4D)[2] as tf.Tensor))(tf.tensor4d(normal(seeded(1), 1200), [1, 20, 20, 3])));
    expect((await gradient.data()).some((x) => x !== 0)).toBe(true);
    gradient.dispose();
  }));
});
