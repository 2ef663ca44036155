import { from, map } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { type Codec, identity } from '../../src/models/codec.ts';
import { encode } from '../../src/operators/encode.ts';
import type { Batch } from '../../src/streams/frames.ts';
import { release } from '../../src/streams/mapTensors.ts';
import * as tf from '../../src/tf.ts';
import { batchAt, leakFree } from '../support.ts';
import { keepsTheContract } from './contract.ts';

const load = (batch: Batch) => ({ ...batch, source: tf.fill<tf.Rank.R4>([1, 4, 4, 3], -1), target: tf.fill<tf.Rank.R4>([1, 4, 4, 3], 1) });
const halving: Codec = {
  encode: (image) => tf.avgPool(image, 2, 2, 'valid'), decode: (latent) => tf.clone(latent), factor: 2, channels: 3,
};

describe('encode', () => {
  keepsTheContract(() => encode<ReturnType<typeof load>>(halving), load);

  it('adds both latents and keeps the pixels', leakFree(async () => {
    const seen: unknown[] = [];
    await new Promise<void>((resolve) => {
      from([batchAt(0)]).pipe(map(load), encode(halving)).subscribe(async (frame) => {
        seen.push(frame.sourceLatent.shape, [...await frame.sourceLatent.data()], [...await frame.targetLatent.data()], frame.source.shape);
        release(frame);
        resolve();
      });
    });
    expect(seen).toEqual([[1, 2, 2, 3], new Array(12).fill(-1), new Array(12).fill(1), [1, 4, 4, 3]]);
  }));

  it('is pixels themselves with the identity', leakFree(async () => {
    const x = tf.randomUniform<tf.Rank.R4>([1, 2, 2, 3], -1, 1, 'float32', 1);
    const y = tf.tidy(() => identity.decode(identity.encode(x)));
    expect([...await y.data()]).toEqual([...await x.data()]);
    tf.dispose([x, y]);
  }));
});
