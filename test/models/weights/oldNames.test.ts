import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { writeSdTurbo } from '../../../fixtures/sdTurbo/generate.ts';
import { loadModel } from '../../../src/models/weights/modelFolder.ts';
import { modernNames } from '../../../src/models/weights/oldNames.ts';
import { openStateDict } from '../../../src/models/weights/openWeights.ts';
import { saveSafetensors } from '../../../src/models/weights/saveSafetensors.ts';
import { right } from '../../run/support.ts';

const entry = { shape: [1], data: Float32Array.of(1) };

it('renames the attention layers of old autoencoders, and nothing else', () => {
  expect(Object.keys(modernNames({
    'encoder.mid_block.attentions.0.query.weight': entry, 'encoder.mid_block.attentions.0.key.bias': entry, 'decoder.mid_block.attentions.0.value.weight': entry,
    'decoder.mid_block.attentions.0.proj_attn.bias': entry, 'decoder.mid_block.attentions.0.group_norm.weight': entry, 'encoder.key.weight': entry, 'mid.attentions.0.to_q.weight': entry,
  }))).toEqual([
    'encoder.mid_block.attentions.0.to_q.weight', 'encoder.mid_block.attentions.0.to_k.bias', 'decoder.mid_block.attentions.0.to_v.weight',
    'decoder.mid_block.attentions.0.to_out.0.bias', 'decoder.mid_block.attentions.0.group_norm.weight', 'encoder.key.weight', 'mid.attentions.0.to_q.weight',
  ]);
});

it('loads an autoencoder that was saved under the old names', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-old-'));
  try {
    await writeSdTurbo(folder);
    const place = join(folder, 'vae');
    const { state } = await right(loadModel(place));
    const query = state['encoder.mid_block.attentions.0.to_q.weight']?.data;
    const old = Object.fromEntries(Object.entries(await right(openStateDict(place))).map(([name, value]) => [
      name.replace('.to_q.', '.query.').replace('.to_k.', '.key.').replace('.to_v.', '.value.').replace('.to_out.0.', '.proj_attn.'), { shape: value.shape, data: value.data }]));
    expect(Object.keys(old)).toContain('encoder.mid_block.attentions.0.query.weight');
    await right(saveSafetensors(join(place, 'diffusion_pytorch_model.safetensors'), old));
    const again = (await right(loadModel(place))).state;
    expect(Object.keys(again).toSorted()).toEqual(Object.keys(state).toSorted());
    expect(again['encoder.mid_block.attentions.0.to_q.weight']?.data).toEqual(query);
  } finally {
    await rm(folder, { recursive: true });
  }
});
