import { from, lastValueFrom, map } from 'rxjs';
import { describe, expect, it } from 'vitest';
import type { Codec } from '../../src/models/codec.ts';
import { teach } from '../../src/operators/teach.ts';
import type { Batch } from '../../src/streams/frames.ts';
import { release } from '../../src/streams/mapTensors.ts';
import * as tf from '../../src/tf.ts';
import { batchAt, leakFree } from '../support.ts';
import { keepsTheContract } from './contract.ts';

const load = (batch: Batch) => ({ ...batch, source: tf.fill<tf.Rank.R4>([1, 4, 4, 3], -1), target: tf.fill<tf.Rank.R4>([1, 4, 4, 3], 0.5) });
const halving: Codec = { encode: (image) => tf.avgPool(image, 2, 2, 'valid'), decode: (latent) => tf.clone(latent), factor: 2, channels: 3 };

describe('teach', () => {
  keepsTheContract(() => teach<ReturnType<typeof load>>(halving), load);

  it('adds what the teacher makes of the target, and keeps the image', leakFree(async () => {
    const frame = await lastValueFrom(from([batchAt(0)]).pipe(map(load), teach(halving)));
    expect([frame.latent.shape, [...await frame.latent.data()]]).toEqual([[1, 2, 2, 3], new Array(12).fill(0.5)]);
    expect(frame.target.shape).toEqual([1, 4, 4, 3]);
    release(frame);
  }));
});
