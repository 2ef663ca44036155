import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { clip, clipPixels, clipText } from '../../src/models/clip.ts';
import { clipTokenizer, readTokenizer } from '../../src/models/clipTokenizer.ts';
import { type Params, sizeOf } from '../../src/models/network.ts';
import * as tf from '../../src/tf.ts';
import { leakFree } from '../support.ts';
// Computed with openai/CLIP's own model in float64, weights from `value` below.
import golden from './clip.torch.json' with { type: 'json' };
// Those entries and merges of the released vocabulary that these texts need; ids from openai/CLIP's own tokenizer.
import published from './clip.vocabulary.json' with { type: 'json' };
import { near } from './near.ts';

const value = (tensor: number, i: number): number => {
  const x = Math.sin((i + 1) * 12.9898 + (tensor + 1) * 78.233) * 43758.5453;
  return x - Math.floor(x) - 0.5;
};
const values = (tensor: number, size: number): Float32Array => Float32Array.from({ length: size }, (_, i) => value(tensor, i));

const small = clip({
  projection_dim: 6, text_config: { hidden_size: 8, intermediate_size: 32, num_hidden_layers: 2, num_attention_heads: 2, vocab_size: 11, max_position_embeddings: 5 },
  vision_config: { hidden_size: 128, intermediate_size: 512, num_hidden_layers: 3, num_attention_heads: 2, image_size: 8, patch_size: 4 },
});
const params = (): Params => Object.fromEntries([...small.specs].map(([name, { shape }]) => {
  const drawn = values(golden.order.indexOf(name), sizeOf(shape));
  return [name, tf.tensor(name.includes('norm') && name.endsWith('weight') || name.endsWith('layrnorm.weight') ? drawn.map((x) => x + 1) : drawn, [...shape])];
}));
const ids = (): tf.Tensor2D => tf.tensor2d([9, 3, 4, 10, 0, 9, 10, 0, 0, 0], [2, 5], 'int32');
const image = (): tf.Tensor4D => tf.transpose(tf.tensor4d(values(500, 384).map((x) => 2 * x), [2, 3, 8, 8]), [0, 2, 3, 1]);

describe('clip', () => {
  it('has the names of the reference', () => {
    expect([...small.specs.keys()].toSorted()).toEqual(golden.order.toSorted());
  });
  it.each([
    ['every token of a text', () => clipText(small.config.text_config).apply(params(), ids()).hidden, golden.hidden],
    ['a text', () => small.text(params(), ids()), golden.text],
    ['an image', () => small.image(params(), image()).embedding, golden.image],
    ['how well images fit texts', () => small.apply(params(), ids(), image()), golden.logits],
  ] as const)('encodes %s as the reference does', (_name, f, wanted) => leakFree(() => near(f, wanted, 2e-5))());

  it('has the gradient of the reference', leakFree(() => near(() => {
    const fixed = params();
    return tf.grad((x) => tf.sum(tf.mul(small.apply(fixed, ids(), x as tf.Tensor4D), tf.tensor2d([1, 2, 3, -4], [2, 2]))))(image());
  }, golden.imageGradient)));

  it('does not see later tokens', async () => {
    const hidden = (last: number): Promise<Float32Array> => {
      const out = tf.tidy(() => tf.slice(clipText(small.config.text_config).apply(params(), tf.tensor2d([9, 3, 4, last, 0], [1, 5], 'int32')).hidden, [0, 0, 0], [1, 3, 8]));
      return out.data().then((data) => { out.dispose(); return data as Float32Array; });
    };
    expect(await hidden(5)).toEqual(await hidden(10));
  });

  it('takes images in [-1, 1] to unit variance about the mean of its training images', () => near(() => clipPixels(tf.tensor4d([-1, -1, -1, 1, 1, 1], [1, 1, 2, 3])), [
    -0.48145466 / 0.26862954, -0.4578275 / 0.26130258, -0.40821073 / 0.27577711, 0.51854534 / 0.26862954, 0.5421725 / 0.26130258, 0.59178927 / 0.27577711]));

  it('has the sizes of the released models', () => {
    const size = ({ specs }: { specs: ReadonlyMap<string, { shape: readonly number[] }> }): number => [...specs.values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0);
    expect(size(clip())).toBe(151_277_313);
    // SD-Turbo's text encoder: 23 of OpenCLIP ViT-H's 24 layers.
    expect(size(clipText({ hidden_size: 1024, intermediate_size: 4096, num_hidden_layers: 23, num_attention_heads: 16, hidden_act: 'gelu' }))).toBe(340_387_840);
  });

  it('refuses what does not fit', () => {
    expect(() => clipText({ hidden_act: 'relu' })).toThrow(/CLIPTextModel: hidden_act/);
    expect(() => small.image(params(), tf.zeros([1, 4, 8, 3]))).toThrow('clip: expected images of 8 x 8 pixels but received 8 x 4');
    expect(() => small.text(params(), tf.zeros([1, 6], 'int32'))).toThrow('clip: expected at most 5 tokens but received 6');
  });
});

describe('clipTokenizer', () => {
  const { vocab, merges } = published;
  const tokenizer = clipTokenizer({ vocab, merges, pad: '!' });

  it.each(published.texts as [string, number[]][])('has the published ids of %j', (text, wanted) => {
    const ids = tokenizer.encode(text);
    expect([...ids.slice(0, wanted.length + 2)]).toEqual([49406, ...wanted, 49407]);
    expect(ids).toHaveLength(77);
    expect(ids.slice(wanted.length + 2).every((id) => id === 0)).toBe(true);
  });

  it('pads with the end by default, and cuts long texts but for their end', () => {
    const short = clipTokenizer({ vocab, merges, length: 6 });
    expect([...short.encode('cat')]).toEqual([49406, 2368, 49407, 49407, 49407, 49407]);
    expect([...short.encode('a cat of a cat of a cat')]).toEqual([49406, 320, 2368, 539, 320, 49407]);
  });

  it('reads the files of a folder, and says what is wrong with them', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'millrace-tokenizer-'));
    try {
      const write = (name: string, text: string): Promise<void> => writeFile(join(folder, name), text);
      const fault = (): string => { try { readTokenizer(folder); return 'none'; } catch (cause) { return (cause as Error).message; } };
      expect(fault()).toBe(`${join(folder, 'vocab.json')}: expected a file of CLIP's tokenizer but found nothing`);
      await write('vocab.json', '{"a": "b"}');
      expect(fault()).toMatch(/vocab\.json: expected a file of CLIP's tokenizer but .*expected number/);
      await write('vocab.json', JSON.stringify(vocab));
      await write('merges.txt', `#version: 0.2\n${merges.join('\n')}\n`);
      await write('tokenizer_config.json', '{"model_max_length": 77, "pad_token": {"content": "nowhere"}}');
      expect(fault()).toBe('clipTokenizer: expected the vocabulary to have nowhere but it has not');
      await write('tokenizer_config.json', '{"model_max_length": 77, "pad_token": "!"}');
      expect(readTokenizer(folder).encode('a photo of a cat')).toEqual(tokenizer.encode('a photo of a cat'));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
