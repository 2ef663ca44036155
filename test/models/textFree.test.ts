import { describe, expect, it } from 'vitest';
import { makeNet, paramsOf } from '../../src/models/net.ts';
import { conditioningNames, isConditioning, textFree, withoutConditioning } from '../../src/models/textFree.ts';
import { unet2dCondition } from '../../src/models/unet2dCondition.ts';
import { stateOf } from '../../src/models/weights/netState.ts';
import { adam } from '../../src/optim/adam.ts';
import { seeded } from '../../src/random.ts';
import * as tf from '../../src/tf.ts';

const base = { block_out_channels: [8], norm_num_groups: 4, layers_per_block: 1, cross_attention_dim: 6, attention_head_dim: 2, down_block_types: ['CrossAttnDownBlock2D'], up_block_types: ['CrossAttnUpBlock2D'] };
const unet = unet2dCondition(base);
const sdxl = unet2dCondition({ ...base, addition_embed_type: 'text_time', addition_time_embed_dim: 4, projection_class_embeddings_input_dim: 29 });
const sample = (): tf.Tensor4D => tf.ones([2, 4, 4, 4]);

const values = async (f: () => tf.Tensor): Promise<Float32Array> => {
  const out = tf.tidy(f);
  const data = await out.data() as Float32Array;
  out.dispose();
  return data;
};

describe('textFree', () => {
  it('adds tokens as parameters, and gives them to every image', async () => {
    const network = textFree(unet, { tokens: 3 });
    expect(network.specs.get(conditioningNames.tokens)).toMatchObject({ shape: [1, 3, 6], buffer: false });
    const net = makeNet(network, { key: seeded(1), optimizer: adam() });
    const learned = await values(() => net.network.apply(paramsOf(net), sample(), tf.tensor1d([5])));
    const given = await values(() => {
      const params = paramsOf(net);
      return unet.apply(params, sample(), tf.tensor1d([5]), { encoderHiddenStates: tf.tile(params[conditioningNames.tokens] as tf.Tensor3D, [2, 1, 1]) });
    });
    expect(learned).toEqual(given);
    const other = await values(() => net.network.apply(paramsOf(net), sample(), tf.tensor1d([5]), { encoderHiddenStates: tf.ones([2, 1, 6]) }));
    expect(other).not.toEqual(learned);
    tf.dispose(Object.values(net.variables));
  });

  it('keeps fixed tokens out of training, and takes cached ones as weights', async () => {
    const network = textFree(unet, { mode: 'fixed' });
    const cached = { [conditioningNames.tokens]: { shape: [1, 1, 6], data: Float32Array.of(1, 2, 3, 4, 5, 6) } };
    const net = makeNet(network, { key: seeded(1), optimizer: adam(), given: cached });
    expect(net.layout.some(({ name }) => isConditioning(name))).toBe(false);
    const state = await stateOf(net);
    expect(state[conditioningNames.tokens]?.data).toEqual(cached[conditioningNames.tokens]?.data);
    expect(new Set(Object.keys(withoutConditioning(state)))).toEqual(new Set(unet.specs.keys()));
    tf.dispose(Object.values(net.variables));
  });

  it('gives SDXL a pooled text and sizes', async () => {
    const network = textFree(sdxl, { timeIds: [64, 64, 0, 0, 64, 64] });
    expect(network.specs.get(conditioningNames.pooled)).toMatchObject({ shape: [1, 5] });
    const net = makeNet(network, { key: seeded(1) });
    const out = await values(() => net.network.apply(paramsOf(net), sample(), tf.tensor1d([5])));
    const cropped = await values(() => textFree(sdxl, { timeIds: [64, 64, 8, 0, 64, 64] }).apply(paramsOf(net), sample(), tf.tensor1d([5])));
    expect(out.every(Number.isFinite)).toBe(true);
    expect(cropped).not.toEqual(out);
    tf.dispose(Object.values(net.variables));
  });

  it('refuses networks that want more than text', () => {
    expect(() => textFree(unet, { tokens: 0 })).toThrow(/tokens to be a positive integer but received 0/);
    expect(() => textFree(unet2dCondition({ ...base, encoder_hid_dim: 5, encoder_hid_dim_type: 'image_proj' }))).toThrow(/encoder_hid_dim_type is image_proj/);
    expect(() => textFree(unet2dCondition({ ...base, encoder_hid_dim: 5, addition_embed_type: 'image' }))).toThrow(/addition_embed_type is image/);
  });

  it('is named by the network that lacks tokens', () => {
    expect(() => tf.tidy(() => { const net = makeNet(unet, { key: seeded(1) }); try { return unet.apply(paramsOf(net), sample(), tf.tensor1d([5])); } finally { tf.dispose(Object.values(net.variables)); } })).toThrow(/expected encoderHiddenStates, .* see textFree/);
  });
});
